//! A set of array indexes as disjoint ranges: 10,000 waiting children cost as much as one.

use std::collections::BTreeMap;

/// Sorted, disjoint, non-adjacent ranges. Every operation costs O(log ranges).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexSet {
    /// First index to one past the last.
    ranges: BTreeMap<u32, u32>,
    len: u32,
}

impl IndexSet {
    /// `0..size`.
    pub fn all(size: u32) -> Self {
        let mut set = IndexSet::default();
        if size > 0 {
            set.ranges.insert(0, size);
            set.len = size;
        }
        set
    }

    /// How many indexes are in it.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `index` is in it.
    pub fn contains(&self, index: u32) -> bool {
        self.ranges.range(..=index).next_back().is_some_and(|(_, &end)| index < end)
    }

    /// The lowest index.
    pub fn first(&self) -> Option<u32> {
        self.ranges.first_key_value().map(|(&start, _)| start)
    }

    /// The indexes, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.ranges.iter().flat_map(|(&start, &end)| start..end)
    }

    /// Adds an index; `false` when it was there.
    pub fn insert(&mut self, index: u32) -> bool {
        if self.contains(index) {
            return false;
        }
        let before =
            self.ranges.range(..index).next_back().filter(|&(_, &end)| end == index).map(|(&s, _)| s);
        let end = self.ranges.remove(&(index + 1)).unwrap_or(index + 1);
        self.ranges.insert(before.unwrap_or(index), end);
        self.len += 1;
        true
    }

    /// Takes an index out; `false` when it was not there.
    pub fn remove(&mut self, index: u32) -> bool {
        let Some((start, end)) =
            self.ranges.range(..=index).next_back().map(|(&s, &e)| (s, e)).filter(|&(_, end)| index < end)
        else {
            return false;
        };
        if start == index {
            self.ranges.remove(&start);
        } else {
            self.ranges.insert(start, index);
        }
        if index + 1 < end {
            self.ranges.insert(index + 1, end);
        }
        self.len -= 1;
        true
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        *self = IndexSet::default();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set(size in 0u32..40, steps in prop::collection::vec((any::<bool>(), 0u32..50), 0..200)) {
            let mut set = IndexSet::all(size);
            let mut want: BTreeSet<u32> = (0..size).collect();
            for (add, index) in steps {
                if add {
                    prop_assert_eq!(set.insert(index), want.insert(index));
                } else {
                    prop_assert_eq!(set.remove(index), want.remove(&index));
                }
                prop_assert_eq!(set.len() as usize, want.len());
                prop_assert_eq!(set.first(), want.first().copied());
                prop_assert!((0..52).all(|i| set.contains(i) == want.contains(&i)));
                let ranges: Vec<_> = set.ranges.iter().collect();
                prop_assert!(ranges.windows(2).all(|w| w[0].1 < w[1].0), "ranges touch: {:?}", ranges);
            }
        }
    }
}
