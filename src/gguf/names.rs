//! Finds names that stand twice, without room for the names.
//!
//! Names fall into groups by their hashes, so that one group fits a small table. The file's table is walked once for each
//! group: once or a few times for any real file, 64 times at most. The small table holds 16 bits of each hash. If two names
//! share these bits, they are compared, for which the file is walked once more. Of names that differ, about one in ten thousand
//! is compared. A file with many such names was made to take long, and is refused.

/// Slots of the table: 1 KiB of stack.
const SLOTS: usize = 512;
/// Greatest number of slots taken: chance never puts so many names into a group.
const MAX_TAKEN: usize = 448;
/// Average number of names in a group.
const GROUP: u64 = 256;
/// Greatest number of names that are compared; a file with more is refused.
pub(super) const MAX_ALIKE: u64 = 64;

/// Number of groups for `n_names`.
pub(super) const fn n_groups(n_names: u64) -> u64 {
    n_names.div_ceil(GROUP)
}

/// Result of adding a name to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The name belongs to another group, or differs from all before it.
    No,
    /// The name may have stood before.
    Perhaps,
    /// The table has no room for the name: the group has more names than chance brings together.
    NoRoom,
}

/// Names of one group so far.
pub(super) struct Group {
    number: u64,
    n_groups: u64,
    /// 16 bits of a name's hash in each slot; 0 if it is empty.
    slots: [u16; SLOTS],
    n_taken: usize,
}

impl Group {
    pub(super) const fn new(number: u64, n_groups: u64) -> Self {
        Self { number, n_groups, slots: [0; SLOTS], n_taken: 0 }
    }

    /// Adds a name, if it belongs to this group.
    pub(super) const fn add(&mut self, name: &[u8]) -> Seen {
        let hash = hash(name);
        match (hash >> 48).checked_rem(self.n_groups) {
            Some(number) if number == self.number => {}
            _ => return Seen::No,
        }
        let bits = match (hash >> 32) as u16 {
            0 => 1,
            bits => bits,
        };
        let mut slot = hash as usize % SLOTS;
        // Some slots are always free.
        while self.slots[slot] != 0 {
            if self.slots[slot] == bits {
                return Seen::Perhaps;
            }
            slot = (slot + 1) % SLOTS;
        }
        if self.n_taken == MAX_TAKEN {
            return Seen::NoRoom;
        }
        self.slots[slot] = bits;
        self.n_taken += 1;
        Seen::No
    }
}

/// Hash of a name: FNV-1a, its bits mixed by the finalizer of MurmurHash3.
const fn hash(mut bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    while let Some((byte, rest)) = bytes.split_first() {
        hash = (hash ^ *byte as u64).wrapping_mul(0x0100_0000_01b3);
        bytes = rest;
    }
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::String;
    use std::vec::Vec;
    use std::{format, vec};

    use super::super::{Gguf, GgufError};
    use super::*;

    /// Counts the results of adding names `0..n` to all groups.
    fn count(n: u64) -> [usize; 3] {
        let mut found = [0; 3];
        for number in 0..n_groups(n) {
            let mut group = Group::new(number, n_groups(n));
            for i in 0..n {
                found[group.add(heapless::format!(32; "blk.{i}.ffn_up.weight").unwrap().as_bytes()) as usize] += 1;
            }
        }
        found
    }

    #[test]
    fn names_that_differ_are_hardly_ever_compared() {
        for n in [0, 1, 256, 257, 3000, 16_384] {
            let [_, perhaps, no_room] = count(n);
            assert!(perhaps <= 4 && no_room == 0, "{n} names: {perhaps} compared, {no_room} without room");
        }
    }

    #[test]
    fn a_name_is_seen_again_in_its_group_alone() {
        let names = ["a", "b", "token_embd.weight", "a"];
        let mut n_seen = 0;
        for number in 0..3 {
            let mut group = Group::new(number, 3);
            n_seen += names.iter().filter(|name| group.add(name.as_bytes()) == Seen::Perhaps).count();
        }
        assert_eq!(n_seen, 1);
    }

    #[test]
    fn a_full_table_says_so() {
        let mut group = Group::new(0, 1);
        let seen = (0..2000).map(|i| group.add(heapless::format!(8; "{i}").unwrap().as_bytes()));
        assert!(seen.filter(|&seen| seen == Seen::NoRoom).count() > 1000);
    }

    /// Parses a file whose keys are these, and one whose tensors have these names; the errors are the same.
    fn parse(names: &[String]) -> Result<(), GgufError> {
        let (mut keys, mut tensors) = (vec![], vec![]);
        for (i, name) in names.iter().enumerate() {
            let string = [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat();
            // A byte of type 0; a float without dimensions, type 0.
            keys.extend([&string[..], &[0; 4 + 1]].concat());
            tensors.extend([&string[..], &[0; 4 + 4], &(32 * i as u64).to_le_bytes()].concat());
        }
        let n = names.len() as u64;
        let file = |counts: [u64; 2], entries: &[u8]| {
            [b"GGUF\x03\0\0\0", &counts[0].to_le_bytes()[..], &counts[1].to_le_bytes(), entries].concat()
        };
        let tensors = [file([n, 0], &tensors), vec![0; 32 * (names.len() + 1)]].concat();
        let results = [file([0, n], &keys), tensors].map(|file| Gguf::parse(&file).map(|_| ()));
        assert_eq!(results[0], results[1]);
        results[0]
    }

    /// The first names whose hashes are so.
    fn names(n: usize, is_so: impl Fn(u64) -> bool) -> impl Iterator<Item = String> {
        (0..).map(|i| format!("{i:x}")).filter(move |name| is_so(hash(name.as_bytes()))).take(n)
    }

    fn too_many(found: u64) -> Result<(), GgufError> {
        Err(GgufError::TooMany { what: "names with the same hashes", found, limit: MAX_ALIKE })
    }

    #[test]
    fn names_made_to_be_compared_are_refused() {
        // One group. Names that fill slots in a row, then those that have the same bits and begin at one of these slots.
        let is_near = |hash: u64| hash as usize % SLOTS < 150;
        let alike = names(80, |hash| is_near(hash) && (hash >> 32) as u16 == 77);
        let all: Vec<String> = names(170, is_near).chain(alike).collect();
        let mut group = Group::new(0, 1);
        let mut compared = (0..all.len()).filter(|&i| group.add(all[i].as_bytes()) == Seen::Perhaps);
        let last = compared.nth(64).unwrap();
        assert_eq!(parse(&all[..last]), Ok(()));
        assert_eq!(parse(&all[..=last]), too_many(65));
    }

    #[test]
    fn names_made_to_fill_one_group_are_refused() {
        // Four groups.
        let all = names(1000, |hash| (hash >> 48) % 4 == 0).collect::<Vec<_>>();
        assert_eq!(parse(&all), too_many(65));
        let others = names(552, |hash| (hash >> 48) % 4 != 0);
        assert_eq!(parse(&all[..448].iter().cloned().chain(others).collect::<Vec<_>>()), Ok(()));
    }
}
