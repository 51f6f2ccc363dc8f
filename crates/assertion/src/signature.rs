//! Signatures: who stands behind a record.
//!
//! Ed25519 (RFC 8032) over a prefix and the canonical bytes without signatures, so that one signature binds every field and
//! means nothing outside StemeDB. Verification is strict, so that all implementations judge alike: one encoding per key and per
//! signature, no key of small order, and the equation without the cofactor.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer, VerifyingKey};
use thiserror::Error;

use crate::canonical;
use crate::fields::{Field, Fields};
use crate::hex;
use crate::invalid::Invalid;
use crate::limits::SIGNATURES_MAX;
use crate::model::Content;

/// What is signed begins with this: no other protocol's message is a record, and the next form of signature has another one.
const PREFIX: &[u8] = b"stemedb.sign.v1\n";

/// Lowercase hex digits of a public key.
const AGENT_DIGITS: usize = 64;

/// One signature. In a record they are in ascending order of `agent`, one per agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The Ed25519 public key, 64 lowercase hex digits.
    pub agent: String,
    /// The signature, 128 lowercase hex digits.
    pub signature: String,
}

/// A private key. It never shows itself by accident, and is wiped from memory when it goes.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

/// The text is not a key's seed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "not a signing key: give its seed as 64 lowercase hex digits, as `stemedb keygen` writes it"
)]
pub struct NotASeed;

impl SigningKey {
    /// The key of this seed (the private key of RFC 8032).
    pub fn from_seed(seed: &[u8; 32]) -> SigningKey {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The seed as a key file holds it, 64 lowercase hex digits. It is the key: keep it secret.
    pub fn seed_hex(&self) -> String {
        hex::write(self.0.as_bytes())
    }

    /// The public key, as [`Signature::agent`] has it.
    pub fn agent(&self) -> String {
        hex::write(self.0.verifying_key().as_bytes())
    }

    pub(crate) fn sign(&self, content: &Content) -> Signature {
        Signature {
            agent: self.agent(),
            signature: hex::write(&self.0.sign(&signing_bytes(content)).to_bytes()),
        }
    }
}

impl FromStr for SigningKey {
    type Err = NotASeed;

    fn from_str(text: &str) -> Result<SigningKey, NotASeed> {
        bytes_of(text)
            .map(|seed| SigningKey::from_seed(&seed))
            .ok_or(NotASeed)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of agent {})", self.agent())
    }
}

/// Whether a text has the form of [`Signature::agent`], a public key. Not every such text is one.
pub fn is_agent(text: &str) -> bool {
    hex::is(text, AGENT_DIGITS)
}

/// What a signature of this content signs.
pub(crate) fn signing_bytes(content: &Content) -> Vec<u8> {
    let mut out = PREFIX.to_vec();
    canonical::write(&mut out, content, &[]);
    out
}

/// Reads the list of signatures, in the order given. Whether they are good is not known until [`verify`].
pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Vec<Signature>, Invalid> {
    let Some(field) = fields.take("signatures") else {
        return Ok(Vec::new());
    };
    let mut signatures: Vec<Signature> = Vec::new();
    for (position, item) in field.list(SIGNATURES_MAX)?.iter().enumerate() {
        let signature = one(item).map_err(|invalid| invalid.within("signatures", position))?;
        if signatures
            .iter()
            .any(|other| other.agent == signature.agent)
        {
            return Err(Invalid::repeated(format!("signatures[{position}].agent")));
        }
        signatures.push(signature);
    }
    Ok(signatures)
}

fn one(item: &Field<'_>) -> Result<Signature, Invalid> {
    let mut fields = item.object("")?;
    let signature = Signature {
        agent: digits(&fields.require("agent")?, AGENT_DIGITS)?,
        signature: digits(&fields.require("signature")?, 128)?,
    };
    fields.finish()?;
    Ok(signature)
}

fn digits(field: &Field<'_>, count: usize) -> Result<String, Invalid> {
    let text = field.string(1, count)?;
    if hex::is(&text, count) {
        return Ok(text.into_owned());
    }
    Err(Invalid::new(
        "not_hex",
        field.path(),
        format!("is not {count} lowercase hex digits"),
        format!("give {count} lowercase hex digits"),
    ))
}

/// Refuses a record with a signature that is not its agent's, and a signed vote whose voter did not sign.
pub(crate) fn verify(content: &Content, signatures: &[Signature]) -> Result<(), Invalid> {
    if signatures.is_empty() {
        return Ok(());
    }
    if let Content::Vote(vote) = content
        && !signatures
            .iter()
            .any(|signature| signature.agent == vote.voter)
    {
        return Err(Invalid::new(
            "voter_not_signer",
            "voter",
            "is none of the agents that signed this vote",
            "sign a vote with the voter's key, and give the public key as `voter`",
        ));
    }
    let message = signing_bytes(content);
    match signatures
        .iter()
        .position(|signature| !is_good(signature, &message))
    {
        None => Ok(()),
        Some(position) => Err(Invalid::new(
            "bad_signature",
            format!("signatures[{position}].signature"),
            "is not this agent's signature of this record",
            "sign the bytes that docs/canonical-form.md describes, and send every field as it was signed",
        )),
    }
}

fn is_good(signature: &Signature, message: &[u8]) -> bool {
    let (Some(agent), Some(bytes)) = (
        bytes_of::<32>(&signature.agent),
        bytes_of::<64>(&signature.signature),
    ) else {
        return false;
    };
    if !is_reduced(&agent) {
        return false;
    }
    VerifyingKey::from_bytes(&agent).is_ok_and(|key| {
        key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&bytes))
            .is_ok()
    })
}

/// Whether the coordinate in an encoded point is below the prime 2^255 − 19. The library reduces what is above, which would give
/// a few keys a second name.
fn is_reduced(point: &[u8; 32]) -> bool {
    let [lowest, middle @ .., highest] = point;
    *lowest < 0xed || highest & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff)
}

/// So many bytes of so many lowercase hex digits.
fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    hex::read(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No vector can show this: nobody knows a private key of such a point.
    #[test]
    fn a_key_has_one_encoding() {
        let mut prime = [0xff; 32];
        (prime[0], prime[31]) = (0xed, 0x7f);
        let encoded = |lowest: u8, highest: u8| {
            let mut point = prime;
            (point[0], point[31]) = (lowest, highest);
            point
        };
        for point in [
            prime,
            encoded(0xee, 0x7f),
            encoded(0xff, 0xff),
            encoded(0xed, 0xff),
        ] {
            assert!(!is_reduced(&point), "{point:x?}");
        }
        for point in [
            [0; 32],
            encoded(0xec, 0x7f),
            encoded(0xec, 0xff),
            encoded(0xff, 0x7e),
        ] {
            assert!(is_reduced(&point), "{point:x?}");
        }
        // The library by itself takes the second name of the point whose coordinate is 3.
        let second_name = encoded(0xf0, 0x7f);
        assert!(VerifyingKey::from_bytes(&second_name).is_ok());
        assert!(!is_reduced(&second_name));
    }
}
