//! Nonces for `encrypt`, unique within a response by counting and between responses by chance.

use super::MaskError;

/// The nonces of one response: eight random bytes that the caller draws, then a counter.
///
/// Two responses that draw the same eight bytes do no harm beyond what AES-GCM-SIV (RFC 8452)
/// allows under a repeated nonce: equal values of one field could be seen to be equal.
#[derive(Debug)]
pub struct NonceSequence {
    prefix: [u8; 8],
    next: Option<u32>,
}

impl NonceSequence {
    /// The sequence that starts with `prefix`, which must be random and new for each response.
    #[must_use]
    pub fn new(prefix: [u8; 8]) -> Self {
        Self { prefix, next: Some(0) }
    }

    /// A sequence that has handed out all it has.
    #[cfg(test)]
    pub(super) fn used_up() -> Self {
        Self { prefix: [0; 8], next: None }
    }

    /// The next nonce; never one that was handed out before.
    pub(super) fn draw(&mut self) -> Result<[u8; 12], MaskError> {
        let count = self.next.ok_or(MaskError::NoncesUsedUp)?;
        self.next = count.checked_add(1);
        let mut nonce = [0; 12];
        let (prefix, counter) = nonce.split_at_mut(8);
        prefix.copy_from_slice(&self.prefix);
        counter.copy_from_slice(&count.to_be_bytes());
        Ok(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_behind_the_prefix() {
        let mut nonces = NonceSequence::new(*b"response");
        assert_eq!(nonces.draw().unwrap(), *b"response\0\0\0\0");
        assert_eq!(nonces.draw().unwrap(), *b"response\0\0\0\x01");
    }

    #[test]
    fn refuses_to_start_over() {
        let mut nonces = NonceSequence { prefix: [7; 8], next: Some(u32::MAX) };
        assert_eq!(nonces.draw().unwrap().split_at(8).1, [0xff; 4]);
        assert_eq!(nonces.draw(), Err(MaskError::NoncesUsedUp));
        assert_eq!(nonces.draw(), Err(MaskError::NoncesUsedUp));
    }
}
