//! What a member says of itself, as SWIM carries it: at most 512 bytes, compact, versioned, parsed with suspicion.
//!
//! The form is one version byte, then fields of one tag byte, one length byte and the value. A reader skips tags it does
//! not know, so a newer member can say more to its own kind without being refused by an older one; the version byte
//! changes only when the known tags change their meaning.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use proto::v1;

/// Most bytes SWIM carries for one member (the limit of `memberlist`).
pub const METADATA_MAX: usize = 512;

/// The form written here.
const VERSION: u8 = 1;

/// Longest software version that is carried; longer ones are cut, they are only shown to people.
const SOFTWARE_MAX: usize = 32;

const NODE_ID: u8 = 1;
const CLUSTER_ID: u8 = 2;
const NUM_SHARDS: u8 = 3;
const INCARNATION: u8 = 4;
const PHASE: u8 = 5;
const RECORD_VERSION: u8 = 6;
const STORE_ID: u8 = 7;
const HOST: u8 = 8;
const PORTS: u8 = 9;
const SOFTWARE: u8 = 10;
const AGREED: u8 = 11;
const FOUNDERS: u8 = 12;
const TOLD: u8 = 13;
const REPLICATION_FACTOR: u8 = 14;
const COUNTED: u8 = 15;

/// The highest tag known.
const LAST: u8 = COUNTED;

/// The id of a cluster: 16 random bytes, written as 32 lowercase hex digits everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId([u8; 16]);

impl ClusterId {
    /// From its bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> ClusterId {
        ClusterId(bytes)
    }

    /// A new random one.
    pub fn mint() -> ClusterId {
        ClusterId(rand::random())
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ClusterId({self})")
    }
}

/// Text that is not a cluster id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a cluster id is 32 lowercase hex digits")]
pub struct NotAClusterId;

impl FromStr for ClusterId {
    type Err = NotAClusterId;

    fn from_str(text: &str) -> Result<ClusterId, NotAClusterId> {
        let bytes = unhex(text).ok_or(NotAClusterId)?;
        Ok(ClusterId(
            <[u8; 16]>::try_from(bytes).map_err(|_| NotAClusterId)?,
        ))
    }
}

/// Lowercase hex of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of lowercase hex; `None` for anything else.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    text.len().is_multiple_of(2).then_some(())?;
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

/// What a member is doing, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Started; its store does not serve yet.
    Joining,
    /// Its store serves.
    Serving,
    /// Its store stopped serving.
    Stopping,
    /// Takes no new client requests, keeps its shards.
    Draining,
    /// Hands everything over and goes for good.
    Leaving,
    /// Has handed everything over.
    Left,
}

impl Phase {
    const ALL: [Phase; 6] = [
        Phase::Joining,
        Phase::Serving,
        Phase::Stopping,
        Phase::Draining,
        Phase::Leaving,
        Phase::Left,
    ];

    /// The wire's word for it.
    pub fn message(self) -> v1::Phase {
        match self {
            Phase::Joining => v1::Phase::Joining,
            Phase::Serving => v1::Phase::Serving,
            Phase::Stopping => v1::Phase::Stopping,
            Phase::Draining => v1::Phase::Draining,
            Phase::Leaving => v1::Phase::Leaving,
            Phase::Left => v1::Phase::Left,
        }
    }

    fn from_byte(byte: u8) -> Option<Phase> {
        Phase::ALL
            .into_iter()
            .find(|phase| *phase as u8 + 1 == byte)
    }
}

/// One member's description of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// BLAKE3 of the name, first 16 bytes.
    pub node_id: [u8; 16],
    /// The cluster its store belongs to, once it does.
    pub cluster_id: Option<ClusterId>,
    /// Its number of shards.
    pub num_shards: u32,
    /// Incarnation of the process that says this.
    pub incarnation: u64,
    /// What it is doing.
    pub phase: Phase,
    /// Highest record form it reads.
    pub record_version: u32,
    /// Its store, once that has answered.
    pub store_id: Option<[u8; 16]>,
    /// Where all its ports are.
    pub host: IpAddr,
    /// Port of the public API.
    pub api_port: u16,
    /// Port of the cluster and admin API.
    pub admin_port: u16,
    /// Port of the store for peers.
    pub rpc_port: u16,
    /// Software version, for people.
    pub software: String,
    /// While the cluster is not formed: a digest of the members it would form the cluster with.
    pub agreed: Option<u64>,
    /// From the process that made the cluster: a digest of the members it made it with.
    pub founders: Option<u64>,
    /// A digest of the members that its store was told of last.
    pub told: Option<u64>,
    /// Copies that it was set to keep of every record; members of earlier versions do not say.
    pub replication_factor: Option<u32>,
    /// Copies of whatever was acknowledged and may not be in its store, once that has been told.
    pub counted: Option<u32>,
}

/// Bytes that are not a member's description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetadata {
    /// More than the limit, or nothing.
    #[error("metadata has {0} bytes; 1 to {METADATA_MAX} are taken")]
    Size(usize),
    /// A form that is not known here.
    #[error("metadata has form {0}; form {VERSION} is known here: upgrade the older of the two")]
    Version(u8),
    /// A field is cut off, too long, out of range or given twice.
    #[error("metadata field {0} is malformed")]
    Field(u8),
    /// A field that must be there is not.
    #[error("metadata field {0} is missing")]
    Missing(u8),
}

impl Metadata {
    /// The bytes SWIM carries. Never more than [`METADATA_MAX`]: every field is bounded.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        let mut field = |tag: u8, value: &[u8]| {
            debug_assert!(value.len() <= u8::MAX as usize, "every field is bounded");
            out.push(tag);
            out.push(value.len() as u8);
            out.extend_from_slice(value);
        };
        field(NODE_ID, &self.node_id);
        if let Some(id) = &self.cluster_id {
            field(CLUSTER_ID, &id.0);
        }
        field(NUM_SHARDS, &self.num_shards.to_be_bytes());
        field(INCARNATION, &self.incarnation.to_be_bytes());
        field(PHASE, &[self.phase as u8 + 1]);
        field(RECORD_VERSION, &self.record_version.to_be_bytes());
        if let Some(id) = &self.store_id {
            field(STORE_ID, id);
        }
        match self.host {
            IpAddr::V4(ip) => field(HOST, &ip.octets()),
            IpAddr::V6(ip) => field(HOST, &ip.octets()),
        }
        let ports: Vec<u8> = [self.api_port, self.admin_port, self.rpc_port]
            .iter()
            .flat_map(|port| port.to_be_bytes())
            .collect();
        field(PORTS, &ports);
        field(SOFTWARE, cut(&self.software, SOFTWARE_MAX).as_bytes());
        if let Some(digest) = self.agreed {
            field(AGREED, &digest.to_be_bytes());
        }
        if let Some(digest) = self.founders {
            field(FOUNDERS, &digest.to_be_bytes());
        }
        if let Some(digest) = self.told {
            field(TOLD, &digest.to_be_bytes());
        }
        if let Some(factor) = self.replication_factor {
            field(REPLICATION_FACTOR, &factor.to_be_bytes());
        }
        if let Some(copies) = self.counted {
            field(COUNTED, &copies.to_be_bytes());
        }
        out
    }

    /// Reads what a peer sent.
    ///
    /// # Errors
    /// For anything but one well-formed description: wrong size or version, a malformed, doubled or missing field.
    pub fn decode(bytes: &[u8]) -> Result<Metadata, InvalidMetadata> {
        let fields = Fields::split(bytes)?;
        let ports: [u8; 6] = fields.required(PORTS)?;
        let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
        Ok(Metadata {
            node_id: fields.required(NODE_ID)?,
            cluster_id: fields.optional(CLUSTER_ID)?.map(ClusterId),
            num_shards: u32::from_be_bytes(fields.required(NUM_SHARDS)?),
            incarnation: u64::from_be_bytes(fields.required(INCARNATION)?),
            phase: fields
                .required(PHASE)
                .map(|[byte]: [u8; 1]| Phase::from_byte(byte))?
                .ok_or(InvalidMetadata::Field(PHASE))?,
            record_version: u32::from_be_bytes(fields.required(RECORD_VERSION)?),
            store_id: fields.optional(STORE_ID)?,
            host: fields.host()?,
            api_port: port(0),
            admin_port: port(2),
            rpc_port: port(4),
            software: fields.software()?,
            agreed: fields.optional(AGREED)?.map(u64::from_be_bytes),
            founders: fields.optional(FOUNDERS)?.map(u64::from_be_bytes),
            told: fields.optional(TOLD)?.map(u64::from_be_bytes),
            replication_factor: fields.copies(REPLICATION_FACTOR)?,
            counted: fields.copies(COUNTED)?,
        })
    }

    /// host:port of one of its ports.
    pub fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.host, port)
    }
}

/// The longest prefix of at most `most` bytes that is whole characters.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    &text[..end]
}

/// The values of the known tags.
struct Fields<'a> {
    values: [Option<&'a [u8]>; LAST as usize + 1],
}

impl<'a> Fields<'a> {
    fn split(bytes: &'a [u8]) -> Result<Fields<'a>, InvalidMetadata> {
        if bytes.len() > METADATA_MAX {
            return Err(InvalidMetadata::Size(bytes.len()));
        }
        let (&version, mut rest) = bytes.split_first().ok_or(InvalidMetadata::Size(0))?;
        if version != VERSION {
            return Err(InvalidMetadata::Version(version));
        }
        let mut values = [None; LAST as usize + 1];
        while let Some((&tag, after)) = rest.split_first() {
            let cut_off = InvalidMetadata::Field(tag);
            let (&length, after) = after.split_first().ok_or(cut_off.clone())?;
            let value = after.get(..length as usize).ok_or(cut_off)?;
            rest = &after[length as usize..];
            if let Some(slot) = values.get_mut(tag as usize)
                && slot.replace(value).is_some()
            {
                return Err(InvalidMetadata::Field(tag));
            }
        }
        Ok(Fields { values })
    }

    fn optional<const N: usize>(&self, tag: u8) -> Result<Option<[u8; N]>, InvalidMetadata> {
        self.values[tag as usize]
            .map(|value| <[u8; N]>::try_from(value).map_err(|_| InvalidMetadata::Field(tag)))
            .transpose()
    }

    fn required<const N: usize>(&self, tag: u8) -> Result<[u8; N], InvalidMetadata> {
        self.optional(tag)?.ok_or(InvalidMetadata::Missing(tag))
    }

    fn copies(&self, tag: u8) -> Result<Option<u32>, InvalidMetadata> {
        match self.optional(tag)?.map(u32::from_be_bytes) {
            Some(0) => Err(InvalidMetadata::Field(tag)),
            copies => Ok(copies),
        }
    }

    fn host(&self) -> Result<IpAddr, InvalidMetadata> {
        let value = self.values[HOST as usize].ok_or(InvalidMetadata::Missing(HOST))?;
        match value.len() {
            4 => self
                .required(HOST)
                .map(|ip: [u8; 4]| Ipv4Addr::from(ip).into()),
            _ => self
                .required(HOST)
                .map(|ip: [u8; 16]| Ipv6Addr::from(ip).into()),
        }
    }

    fn software(&self) -> Result<String, InvalidMetadata> {
        let value = self.values[SOFTWARE as usize].ok_or(InvalidMetadata::Missing(SOFTWARE))?;
        let text = std::str::from_utf8(value).map_err(|_| InvalidMetadata::Field(SOFTWARE))?;
        let plain = text.len() <= SOFTWARE_MAX && text.chars().all(|c| c.is_ascii_graphic());
        plain
            .then(|| text.to_owned())
            .ok_or(InvalidMetadata::Field(SOFTWARE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Metadata {
        Metadata {
            node_id: [7; 16],
            cluster_id: Some(ClusterId::from_bytes([9; 16])),
            num_shards: 256,
            incarnation: 1_790_000_000_123,
            phase: Phase::Serving,
            record_version: 1,
            store_id: Some([3; 16]),
            host: "2001:db8::17".parse().unwrap(),
            api_port: 18180,
            admin_port: 18181,
            rpc_port: 18182,
            software: "0.1.0".into(),
            agreed: Some(u64::MAX),
            founders: Some(3),
            told: Some(u64::MAX - 1),
            replication_factor: Some(16),
            counted: Some(15),
        }
    }

    #[test]
    fn every_field_survives_the_wire() {
        for phase in Phase::ALL {
            let metadata = Metadata { phase, ..sample() };
            assert_eq!(Metadata::decode(&metadata.encode()), Ok(metadata));
        }
        let bare = Metadata {
            cluster_id: None,
            store_id: None,
            agreed: None,
            host: "10.1.2.3".parse().unwrap(),
            ..sample()
        };
        assert_eq!(Metadata::decode(&bare.encode()), Ok(bare));
    }

    #[test]
    fn the_largest_description_is_far_below_the_limit() {
        let metadata = Metadata {
            software: "9".repeat(500),
            ..sample()
        };
        let bytes = metadata.encode();
        assert!(bytes.len() <= METADATA_MAX / 2, "{} bytes", bytes.len());
        assert_eq!(
            Metadata::decode(&bytes).unwrap().software.len(),
            SOFTWARE_MAX
        );
    }

    #[test]
    fn unknown_fields_are_skipped_and_other_forms_are_named() {
        let mut bytes = sample().encode();
        bytes.extend_from_slice(&[200, 3, 1, 2, 3]);
        assert_eq!(Metadata::decode(&bytes), Ok(sample()));
        bytes[0] = 2;
        assert_eq!(Metadata::decode(&bytes), Err(InvalidMetadata::Version(2)));
    }

    #[test]
    fn no_copies_at_all_is_malformed_and_saying_nothing_is_not() {
        let with = |replication_factor| Metadata {
            replication_factor,
            ..sample()
        };
        let none = Metadata::decode(&with(Some(0)).encode());
        assert_eq!(none, Err(InvalidMetadata::Field(REPLICATION_FACTOR)));
        assert_eq!(Metadata::decode(&with(None).encode()), Ok(with(None)));
    }

    #[test]
    fn hostile_bytes_are_refused_without_a_panic() {
        let good = sample().encode();
        for end in 0..good.len() {
            let cut_off = Metadata::decode(&good[..end]);
            // Only the last five fields, of ten and six bytes, are optional: everything before them is missed.
            let whole = [6, 12, 22, 32, 42].map(|optional| good.len() - optional);
            assert_eq!(cut_off.is_ok(), whole.contains(&end), "{end} bytes");
        }
        for at in 0..good.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = byte;
                if let Ok(metadata) = Metadata::decode(&bytes) {
                    assert!(metadata.encode().len() <= METADATA_MAX);
                }
            }
        }
        let mut twice = good.clone();
        twice.extend_from_slice(&[PHASE, 1, 1]);
        assert_eq!(Metadata::decode(&twice), Err(InvalidMetadata::Field(PHASE)));
        let huge = [good, vec![0; METADATA_MAX]].concat();
        assert!(matches!(
            Metadata::decode(&huge),
            Err(InvalidMetadata::Size(_))
        ));
    }

    #[test]
    fn a_cluster_id_reads_back_from_its_text() {
        let id = ClusterId::mint();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("0A".repeat(16).parse::<ClusterId>(), Err(NotAClusterId));
        assert_eq!("00".parse::<ClusterId>(), Err(NotAClusterId));
    }
}
