//! The wire types: one struct per structure, one enum per string with a value set, and the error codes.

use std::collections::BTreeSet;

use anyhow::Result;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use super::model::{Model, Shape, Structure, Text};
use super::names;

/// All types of the service, in the order of their names.
pub(crate) fn items(model: &Model) -> Result<TokenStream> {
    let defaulted = required_shapes(model);
    let mut items = vec![quote! {
        use std::collections::BTreeMap;
        use serde::{Deserialize, Serialize};
        use crate::{Request, Shape, string_enum};
    }];
    for (name, shape) in &model.shapes {
        match shape {
            Shape::Structure(s) if !s.exception && !s.eventstream => items.push(structure(model, name, s)?),
            Shape::String(Text { values: Some(values), ignore_case, .. }) => {
                items.push(enumeration(name, values, *ignore_case, defaulted.contains(name.as_str())));
            }
            _ => {}
        }
    }
    items.push(error_codes(model));
    Ok(quote!(#(#items)*))
}

/// The shapes of all required members. Only these need a default for `..Default::default()` to work on structs.
fn required_shapes(model: &Model) -> BTreeSet<&str> {
    let structures = model.shapes.values().filter_map(|shape| match shape {
        Shape::Structure(structure) => Some(structure),
        _ => None,
    });
    structures
        .flat_map(|s| s.required.iter().filter_map(|name| s.members.get(name)))
        .map(|m| &*m.shape)
        .collect()
}

fn structure(model: &Model, name: &str, structure: &Structure) -> Result<TokenStream> {
    let mut fields = Vec::new();
    for (wire, member) in &structure.members {
        // A stream of events is framed by the protocol; it is no part of any JSON object.
        if model.is_event_stream(&member.shape)? {
            continue;
        }
        let ty = type_of(model, &member.shape)?;
        let field = names::field(wire);
        let rename = (names::serde_camel(&field) != *wire).then(|| quote!(#[serde(rename = #wire)]));
        fields.push(if structure.required.contains(wire) {
            quote!(#rename pub #field: #ty)
        } else {
            quote!(#rename #[serde(skip_serializing_if = "Option::is_none")] pub #field: Option<#ty>)
        });
    }
    let ident = format_ident!("{name}");
    let is_input = model.operations.values().any(|operation| operation.input.shape == name);
    let request = is_input.then(|| {
        let shape = names::constant(name);
        quote! {
            impl Request for #ident {
                const SHAPE: &'static Shape = &shapes::#shape;
            }
        }
    });
    Ok(quote! {
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct #ident { #(#fields,)* }
        #request
    })
}

fn type_of(model: &Model, name: &str) -> Result<TokenStream> {
    Ok(match model.shape(name)? {
        Shape::Structure(_) | Shape::String(Text { values: Some(_), .. }) => {
            let ident = format_ident!("{name}");
            quote!(#ident)
        }
        Shape::List { member, .. } => {
            let member = type_of(model, &member.shape)?;
            quote!(Vec<#member>)
        }
        Shape::Map { value, .. } => {
            let value = type_of(model, &value.shape)?;
            quote!(BTreeMap<String, #value>)
        }
        Shape::String(_) => quote!(String),
        Shape::Integer { .. } => quote!(i32),
        Shape::Long { .. } => quote!(i64),
        Shape::Float => quote!(f32),
        Shape::Double => quote!(f64),
        Shape::Boolean => quote!(bool),
    })
}

fn enumeration(name: &str, values: &[String], ignore_case: bool, has_default: bool) -> TokenStream {
    let ident = format_ident!("{name}");
    let variants: Vec<_> = values.iter().map(|value| names::variant(value)).collect();
    let derive_default = has_default.then(|| quote!(#[derive(Default)]));
    let marks = (0..variants.len()).map(|i| (has_default && i == 0).then(|| quote!(#[default])));
    let mode = ignore_case.then(|| quote!(, ignore_case));
    quote! {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #derive_default
        pub enum #ident { #(#marks #variants,)* }
        impl #ident {
            /// Every value, in the order of the model.
            pub const ALL: &'static [Self] = &[#(Self::#variants),*];
            /// Every value as it stands on the wire, in the order of [`Self::ALL`].
            pub const VALUES: &'static [&'static str] = &[#(#values),*];
            /// The value as it stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { #(Self::#variants => #values,)* }
            }
        }
        string_enum!(#ident #mode);
    }
}

fn error_codes(model: &Model) -> TokenStream {
    let (mut codes, mut statuses) = (Vec::new(), Vec::new());
    for (name, shape) in &model.shapes {
        if let Shape::Structure(structure @ Structure { exception: true, .. }) = shape {
            codes.push(name);
            // Without a status of its own, an error is 500 or 400 by whose fault it is.
            let status = structure.error.as_ref().map(|e| e.http_status_code);
            statuses.push(status.unwrap_or(if structure.fault { 500 } else { 400 }));
        }
    }
    let variants: Vec<_> = codes.iter().map(|code| format_ident!("{code}")).collect();
    quote! {
        /// The errors that the model of this service names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode { #(#variants,)* }
        impl ErrorCode {
            /// Every error code.
            pub const ALL: &'static [Self] = &[#(Self::#variants),*];
            /// The code as it stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { #(Self::#variants => #codes,)* }
            }
            /// The HTTP status it is answered with.
            pub const fn status(self) -> u16 {
                match self { #(Self::#variants => #statuses,)* }
            }
        }
    }
}
