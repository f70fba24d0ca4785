//! The use cases over real stores, with scripted providers.

mod evaluate;
mod gate;
mod prompts;
mod scripted;
