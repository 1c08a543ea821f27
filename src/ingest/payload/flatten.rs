//! Observations of a document whose format has no schema: JSON and CBOR as makers send them.
//!
//! Guarantees: members of objects in objects are named `outer.inner`, those of lists of plain values `outer.0`, `outer.1`; every object in a
//! list is a record of its own and has, beside its own members, the plain ones of all objects around it; an object without such a list is one record.

use super::super::excerpt;
use super::document::{Document, Node, Scalar};
use super::observation::Observations;
use super::{Decoded, Refusal};

/// Makes observations of a document, in place of those before.
///
/// # Errors
/// A [`Refusal`] of a document that is neither an object nor a list of objects, or has too many records.
pub fn observe(document: &Document, observations: &mut Observations) -> Decoded<()> {
    observations.clear();
    let wrong = || Refusal::malformed("neither an object nor a list of objects");
    let root = document.root().ok_or_else(wrong)?;
    if root.is_object() {
        return object(root, &mut Around::default(), observations);
    }
    if !root.is_list() || root.members().any(|member| !member.is_object()) {
        return Err(wrong());
    }
    root.members().try_for_each(|member| object(member, &mut Around::default(), observations))
}

/// Adds the plain members of an object to the record that was begun last, by their whole names; members of objects in lists by their places too.
pub(super) fn add_plain(node: Node<'_>, observations: &mut Observations) -> Decoded<()> {
    let mut around = Around::default();
    plain_members(node, &mut around, &mut None);
    around.plain.iter().try_for_each(|(name, value)| observations.add(name, *value))
}

/// The plain members of the objects around one.
#[derive(Debug, Default)]
struct Around<'d> {
    path: String,
    plain: Vec<(String, Scalar<'d>)>,
}

/// Adds the records of an object.
fn object<'d>(node: Node<'d>, around: &mut Around<'d>, observations: &mut Observations) -> Decoded<()> {
    let (before, outer) = (around.plain.len(), around.path.len());
    let mut lists = Some(Vec::new());
    plain_members(node, around, &mut lists);
    let lists = lists.unwrap_or_default();
    let is_mixed = |(_, list): &&(String, Node<'_>)| !list.members().all(Node::is_object);
    if let Some((path, _)) = lists.iter().find(is_mixed) {
        return Err(Refusal::malformed(format!("list {} holds objects and other values", excerpt(path))));
    }
    if lists.is_empty() {
        observations.begin()?;
        around.plain.iter().try_for_each(|(name, value)| observations.add(name, *value))?;
    }
    for (path, list) in lists {
        around.path.replace_range(outer.., &path[outer..]);
        list.members().try_for_each(|member| object(member, around, observations))?;
    }
    around.path.truncate(outer);
    around.plain.truncate(before);
    Ok(())
}

/// Gathers the plain members of an object, and where lists of objects stand apart, these with their paths.
fn plain_members<'d>(node: Node<'d>, around: &mut Around<'d>, lists: &mut Option<Vec<(String, Node<'d>)>>) {
    for (place, member) in node.members().enumerate() {
        let outer = around.path.len();
        if outer > 0 {
            around.path.push('.');
        }
        if node.is_list() {
            around.path.push_str(&place.to_string());
        } else {
            around.path.push_str(member.name());
        }
        match member.scalar() {
            Some(value) => around.plain.push((around.path.clone(), value)),
            None => {
                let is_apart = member.is_list() && member.members().any(Node::is_object);
                match lists.as_mut().filter(|_| is_apart) {
                    Some(lists) => lists.push((around.path.clone(), member)),
                    None => plain_members(member, around, lists),
                }
            }
        }
        around.path.truncate(outer);
    }
}
