//! Signatures of webhooks, as in Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The prefix of a secret that is written in base64.
const PREFIX: &str = "whsec_";

/// The value of `webhook-signature`: `v1,` and the base64 of the HMAC. A secret that begins with `whsec_` is base64 behind
/// it; any other text is the key itself.
pub(super) fn signature(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let decoded = secret.strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok());
    let key = decoded.as_deref().unwrap_or(secret.as_bytes());
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the Standard Webhooks specification's libraries are tested with.
    #[test]
    fn signs_as_the_specification_does() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn a_plain_text_is_a_secret_too() {
        assert_eq!(signature("s", "a", 1, b"x"), signature("whsec_cw==", "a", 1, b"x"));
        assert_ne!(signature("s", "a", 1, b"x"), signature("s", "a", 2, b"x"));
        assert_ne!(signature("s", "a", 1, b"x"), signature("t", "a", 1, b"x"));
    }
}
