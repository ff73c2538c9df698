//! The constraint tables: every shape that a request can contain, as static data for `fornada_model::check`.

use std::collections::BTreeSet;

use anyhow::Result;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use super::model::{Model, Reference, Shape, Text};
use super::names;

/// The `shapes` module.
pub(crate) fn items(model: &Model) -> Result<TokenStream> {
    let mut reached = BTreeSet::new();
    for operation in model.operations.values() {
        reach(model, &operation.input.shape, &mut reached)?;
    }
    let shapes =
        reached.iter().map(|name| Ok(table(name, model.shape(name)?))).collect::<Result<Vec<_>>>()?;
    let uses_patterns = reached
        .iter()
        .any(|name| matches!(model.shape(name), Ok(Shape::String(Text { pattern: Some(_), .. }))))
        .then(|| {
            quote!(
                use crate::shape::Pattern;
            )
        });
    Ok(quote! {
        /// What requests must look like: one table per shape that a request can contain.
        pub mod shapes {
            use crate::shape::{Member, Shape};
            #uses_patterns
            #(#shapes)*
        }
    })
}

fn reach<'a>(model: &'a Model, name: &'a str, reached: &mut BTreeSet<&'a str>) -> Result<()> {
    if !reached.insert(name) {
        return Ok(());
    }
    let references: Vec<&Reference> = match model.shape(name)? {
        Shape::Structure(structure) => structure.members.values().collect(),
        Shape::List { member, .. } => vec![member],
        Shape::Map { key, value, .. } => vec![key, value],
        _ => vec![],
    };
    references.iter().try_for_each(|reference| reach(model, &reference.shape, reached))
}

fn table(name: &str, shape: &Shape) -> TokenStream {
    let ident = names::constant(name);
    let mut pattern_item = None;
    let value = match shape {
        Shape::Structure(structure) => {
            let members = structure.members.iter().map(|(wire, member)| {
                let (shape, required) = (names::constant(&member.shape), structure.required.contains(wire));
                quote!(Member { name: #wire, shape: &#shape, required: #required })
            });
            quote!(Structure(&[#(#members),*]))
        }
        Shape::List { member, min, max } => {
            let (member, min, max) = (names::constant(&member.shape), bound(min), bound(max));
            quote!(List { member: &#member, min: #min, max: #max })
        }
        Shape::Map { key, value, min, max } => {
            let (key, value) = (names::constant(&key.shape), names::constant(&value.shape));
            let (min, max) = (bound(min), bound(max));
            quote!(Map { key: &#key, value: &#value, min: #min, max: #max })
        }
        Shape::String(Text { values: Some(values), ignore_case, .. }) => {
            quote!(Enum { values: &[#(#values),*], ignore_case: #ignore_case })
        }
        Shape::String(Text { min, max, pattern, matcher, .. }) => {
            let (min, max) = (bound(min), bound(max));
            let pattern = match pattern {
                Some(text) => {
                    let item = format_ident!("{ident}_REGEX");
                    // The service matches the whole value, anchors or not.
                    let matcher = format!("^(?:{})$", matcher.as_ref().unwrap_or(text));
                    pattern_item = Some(quote!(static #item: Pattern = Pattern::new(#text, #matcher);));
                    quote!(Some(&#item))
                }
                None => quote!(None),
            };
            quote!(String { min: #min, max: #max, pattern: #pattern })
        }
        Shape::Integer { min, max } => {
            let (min, max) = (bound(min), bound(max));
            quote!(Integer { min: #min, max: #max })
        }
        Shape::Long { min, max } => {
            let (min, max) = (bound(min), bound(max));
            quote!(Long { min: #min, max: #max })
        }
        Shape::Float => quote!(Float),
        Shape::Double => quote!(Double),
        Shape::Boolean => quote!(Boolean),
    };
    quote! {
        #pattern_item
        pub static #ident: Shape = Shape::#value;
    }
}

fn bound<T: std::fmt::Display>(bound: &Option<T>) -> TokenStream {
    match bound {
        Some(bound) => {
            // Through its text, so that the literal has no type suffix.
            let literal: proc_macro2::Literal = bound.to_string().parse().expect("a number is a literal");
            quote!(Some(#literal))
        }
        None => quote!(None),
    }
}
