//! What is free goes back to the system, also while nothing happens.

use std::time::Duration;

/// How often it is looked after.
const EVERY: Duration = Duration::from_secs(2);
/// More than the allocator keeps in a page that others share: to free it frees a page.
const LARGE: usize = 1 << 20;

/// Goes on for ever. The allocator gives back what has been free for a second, and looks for that when a page is freed: an idle
/// process frees none, and would keep the most that it ever needed, such as what starting took.
pub(crate) async fn give_back() {
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE)));
    }
}
