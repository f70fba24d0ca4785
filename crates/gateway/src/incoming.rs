//! The body of a provider's answer as the gateway reads it: unpacked, and without the provider's key.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use llmops_providers::http_client::AnswerBody;
use llmops_providers::secrets::Secrets;

use crate::unpack::{self, UnpackError, Unpacker};

/// Why the rest of an answer cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error(transparent)]
    BrokenOff(#[from] hyper::Error),
    #[error(transparent)]
    Packed(#[from] UnpackError),
}

/// The body of an answer.
pub(crate) struct Incoming {
    body: AnswerBody,
    secrets: Secrets,
    /// What few bodies need: an answer is moved from future to future.
    rare: Option<Box<Rare>>,
}

#[derive(Default)]
struct Rare {
    /// Absent where bytes come as they are, which is what is asked for.
    unpacker: Option<Unpacker>,
    /// The last bytes so far, where they may be the beginning of a secret.
    held: Vec<u8>,
}

impl Incoming {
    /// The body below these headers, which are made true for what is read from it. Secrets are covered by as many asterisks.
    pub(crate) fn new(headers: &mut HeaderMap, body: AnswerBody, secrets: Secrets) -> Self {
        let unpacker = unpack::encoding(headers).map(Unpacker::new);
        let rare = unpacker.map(|unpacker| Box::new(Rare { unpacker: Some(unpacker), held: Vec::new() }));
        if rare.is_some() {
            headers.remove(CONTENT_ENCODING);
            headers.remove(CONTENT_LENGTH);
        }
        Self { body, secrets, rare }
    }

    /// What the caller may have of a piece now.
    fn read(&mut self, data: Bytes) -> Result<Bytes, Unreadable> {
        let data = match &mut self.rare {
            Some(rare) => rare.read(data)?,
            None => data,
        };
        let mut data = self.secrets.cover(data);
        let begun = self.secrets.begun(&data);
        if begun > 0 {
            self.rare.get_or_insert_default().held = data.split_off(data.len() - begun).into();
        }
        Ok(data)
    }

    fn held(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.held.len())
    }

    /// Whether it comes packed.
    pub(crate) fn is_packed(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.unpacker.is_some())
    }
}

impl Rare {
    /// What a piece says, behind what was held back of the ones before it.
    fn read(&mut self, data: Bytes) -> Result<Bytes, UnpackError> {
        let data = match &mut self.unpacker {
            Some(unpacker) => Bytes::from(unpacker.unpack(&data)?),
            None => data,
        };
        if self.held.is_empty() {
            return Ok(data);
        }
        self.held.extend_from_slice(&data);
        Ok(std::mem::take(&mut self.held).into())
    }

    fn is_complete(&self) -> bool {
        self.unpacker.as_ref().is_none_or(Unpacker::is_complete)
    }

    /// What is left when the provider has sent everything.
    fn last(&mut self) -> Option<Result<Frame<Bytes>, Unreadable>> {
        if !self.is_complete() {
            return Some(Err(UnpackError::Short.into()));
        }
        (!self.held.is_empty()).then(|| Ok(Frame::data(std::mem::take(&mut self.held).into())))
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Unreadable;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Unreadable>>> {
        let this = self.get_mut();
        loop {
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(this.rare.as_mut().and_then(|rare| rare.last())),
            };
            match frame.into_data() {
                Ok(data) => match this.read(data) {
                    // Nothing of it can be said yet.
                    Ok(data) if data.is_empty() => {}
                    data => return Poll::Ready(Some(data.map(Frame::data))),
                },
                // Behind trailers no bytes may come: where some are held back, they go instead.
                Err(_) if this.held() > 0 => {}
                Err(frame) => {
                    let Ok(mut trailers) = frame.into_trailers() else { continue };
                    this.secrets.cover_headers(&mut trailers);
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let has_more = self.rare.as_ref().is_some_and(|rare| !rare.is_complete() || !rare.held.is_empty());
        !has_more && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.body.size_hint().exact() {
            Some(rest) if !self.is_packed() => SizeHint::with_exact(rest + self.held() as u64),
            _ => SizeHint::default(),
        }
    }
}
