//! Places in a tree.

use std::fmt;

use crate::Id;

/// The first hex digits of the ids below a node: none for the root, 64 for a single id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    digits: Id,
    depth: u8,
}

/// Hex digits of an id.
const DEPTH_MAX: u8 = 64;

impl Path {
    /// The place of all ids.
    pub const ROOT: Path = Path {
        digits: [0; 32],
        depth: 0,
    };

    /// The path of `depth` digits, packed two to a byte; `None` when they are more than an id has, or when bits behind the
    /// last digit are set.
    pub fn new(depth: u32, packed: &[u8]) -> Option<Path> {
        let depth = u8::try_from(depth)
            .ok()
            .filter(|&depth| depth <= DEPTH_MAX)?;
        if packed.len() != usize::from(depth.div_ceil(2)) {
            return None;
        }
        let mut digits = [0; 32];
        digits[..packed.len()].copy_from_slice(packed);
        let path = Path { digits, depth };
        let clean = depth % 2 == 0 || packed.last().is_none_or(|last| last & 0xf == 0);
        clean.then_some(path)
    }

    /// The first `depth` digits of an id.
    pub fn of(id: &Id, depth: u8) -> Path {
        let depth = depth.min(DEPTH_MAX);
        let mut digits = [0; 32];
        let whole = usize::from(depth / 2);
        digits[..whole].copy_from_slice(&id[..whole]);
        if depth % 2 == 1 {
            digits[whole] = id[whole] & 0xf0;
        }
        Path { digits, depth }
    }

    /// How many digits are fixed.
    pub fn depth(&self) -> u8 {
        self.depth
    }

    /// The digits, two to a byte, the last half byte 0 when the depth is odd.
    pub fn packed(&self) -> &[u8] {
        &self.digits[..usize::from(self.depth.div_ceil(2))]
    }

    /// The place one digit further down; `None` below a whole id.
    pub fn child(&self, slot: u8) -> Option<Path> {
        if self.depth >= DEPTH_MAX || slot > 0xf {
            return None;
        }
        let mut digits = self.digits;
        let place = usize::from(self.depth / 2);
        digits[place] |= if self.depth.is_multiple_of(2) {
            slot << 4
        } else {
            slot
        };
        Some(Path {
            digits,
            depth: self.depth + 1,
        })
    }

    /// Whether an id is below this place.
    pub fn contains(&self, id: &Id) -> bool {
        Path::of(id, self.depth) == *self
    }

    /// Whether the other place is this one or below it.
    pub fn is_above(&self, other: &Path) -> bool {
        other.depth >= self.depth && self.contains(&other.digits)
    }

    /// The smallest id below.
    pub fn first(&self) -> &Id {
        &self.digits
    }
}

/// The hex digit of an id at a depth.
pub(crate) fn digit(id: &Id, depth: u8) -> usize {
    let byte = id[usize::from(depth / 2)];
    usize::from(if depth.is_multiple_of(2) {
        byte >> 4
    } else {
        byte & 0xf
    })
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("/")?;
        for depth in 0..self.depth {
            write!(f, "{:x}", digit(&self.digits, depth))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_below_their_parents_and_nowhere_else() {
        let path = Path::ROOT
            .child(0xa)
            .unwrap()
            .child(0x3)
            .unwrap()
            .child(0xf)
            .unwrap();
        assert_eq!(format!("{path:?}"), "/a3f");
        assert_eq!(path.packed(), [0xa3, 0xf0]);
        let mut id = [0; 32];
        id[..2].copy_from_slice(&[0xa3, 0xf7]);
        assert!(path.contains(&id));
        id[1] = 0xe7;
        assert!(!path.contains(&id));
        assert!(Path::of(path.first(), 2).is_above(&path));
        assert!(!path.is_above(&Path::of(path.first(), 2)));
    }

    #[test]
    fn paths_from_outside_are_checked() {
        assert_eq!(Path::new(0, &[]), Some(Path::ROOT));
        assert_eq!(Path::new(1, &[0xa0]), Path::ROOT.child(0xa));
        assert_eq!(Path::new(1, &[0xab]), None);
        assert_eq!(Path::new(2, &[0xab, 0]), None);
        assert_eq!(Path::new(65, &[0; 33]), None);
        assert_eq!(
            Path::new(64, &[7; 32]).map(|path| path.child(0)),
            Some(None)
        );
    }
}
