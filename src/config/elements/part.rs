//! From keys to the checked pipeline, and from two of its parts to the keys in which they differ.

use super::{Element, Setting};
use crate::config::diff::KeyChange;

/// A kind of setting whose values can be compared, once they are checked.
pub(crate) trait Compared: Element {
    /// The value in the checked pipeline.
    type Checked;

    /// The value in the checked pipeline.
    fn checked(value: &Self::Output) -> Self::Checked;

    /// Notes what differs.
    fn compare(key: &str, old: &Self::Checked, new: &Self::Checked, changes: &mut Vec<KeyChange>);
}

impl<T: Element> Compared for T
where
    T::Output: PartialEq,
{
    type Checked = T::Output;

    fn checked(value: &T::Output) -> T::Output {
        value.clone()
    }

    fn compare(key: &str, old: &T::Output, new: &T::Output, changes: &mut Vec<KeyChange>) {
        changes.extend(KeyChange::between(key, old, new, T::shown));
    }
}

impl<T: Compared> Setting<T> {
    /// The value in the checked pipeline.
    pub(crate) fn checked(&self) -> T::Checked {
        T::checked(&self.value)
    }

    /// Notes what differs, of a setting of this kind.
    pub(crate) fn compare(
        &self,
        key: &str,
        old: &T::Checked,
        new: &T::Checked,
        changes: &mut Vec<KeyChange>,
    ) {
        T::compare(key, old, new, changes);
    }
}

/// A table with the keys of which a part of the checked pipeline is made.
pub(crate) trait Part<T> {
    /// The part.
    fn part(&self) -> T;

    /// Notes the keys that differ. `table`: what comes before them.
    fn compare_part(table: &str, old: &T, new: &T, changes: &mut Vec<KeyChange>);
}

/// `part! { Keys => Part { key, … } }`: fields of the part and keys of the table have the same names. The rest of the
/// part, if any, comes `else` from an expression.
macro_rules! part {
    ($keys:ident => $part:ident { $($field:ident),* $(,)? } $(else $rest:expr)?) => {
        impl $crate::config::elements::Part<$part> for $keys {
            fn part(&self) -> $part {
                $part { $( $field: self.$field.checked(), )* $( ..$rest )? }
            }

            fn compare_part(
                table: &str,
                old: &$part,
                new: &$part,
                changes: &mut Vec<$crate::config::diff::KeyChange>,
            ) {
                let keys = $keys::default();
                $( keys.$field.compare(&format!("{table}{}", stringify!($field)), &old.$field, &new.$field, changes); )*
            }
        }
    };
    // A table of which all is one part.
    (table $keys:ident => $part:ident { $($field:ident),* $(,)? }) => {
        part! { $keys => $part { $($field),* } }

        impl $crate::config::elements::Compared for $keys {
            type Checked = $part;

            fn checked(keys: &$keys) -> $part {
                $crate::config::elements::Part::part(keys)
            }

            fn compare(key: &str, old: &$part, new: &$part, changes: &mut Vec<$crate::config::diff::KeyChange>) {
                <$keys as $crate::config::elements::Part<$part>>::compare_part(&format!("{key}."), old, new, changes);
            }
        }
    };
}
pub(in crate::config) use part;
