//! The service's facts and its operations.

use anyhow::{Result, bail};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use super::model::{Model, Operation, Shape};
use super::names;

/// The service constants and the `Operation` enum.
pub(crate) fn items(model: &Model) -> Result<TokenStream> {
    let api_version = &model.metadata.api_version;
    let endpoint_prefix = &model.metadata.endpoint_prefix;
    let signing_name = model.metadata.signing_name.as_ref().unwrap_or(endpoint_prefix);
    let names: Vec<_> = model.operations.keys().collect();
    let variants: Vec<_> = names.iter().map(|name| format_ident!("{name}")).collect();
    let inputs = model.operations.values().map(|operation| names::constant(&operation.input.shape));
    let binding = match &model.metadata.target_prefix {
        Some(prefix) => target_binding(prefix),
        None => rest_binding(model, &variants)?,
    };
    Ok(quote! {
        /// The version of the API that this is.
        pub const API_VERSION: &str = #api_version;
        /// The first label of the service's host name.
        pub const ENDPOINT_PREFIX: &str = #endpoint_prefix;
        /// The service in the credential scope of a signature.
        pub const SIGNING_NAME: &str = #signing_name;

        /// The operations of the service.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation { #(#variants,)* }
        impl Operation {
            /// Every operation.
            pub const ALL: &'static [Self] = &[#(Self::#variants),*];
            /// The operation's name, such as in an IAM action.
            pub const fn name(self) -> &'static str {
                match self { #(Self::#variants => #names,)* }
            }
            /// The operation of this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|operation| operation.name() == name)
            }
            /// What a request must look like.
            pub fn input_shape(self) -> &'static Shape {
                match self { #(Self::#variants => &shapes::#inputs,)* }
            }
        }
        #binding
    })
}

fn target_binding(prefix: &str) -> TokenStream {
    quote! {
        /// What stands before the dot in the `X-Amz-Target` header.
        pub const TARGET_PREFIX: &str = #prefix;
        impl Operation {
            /// The operation that an `X-Amz-Target` header names.
            pub fn from_target(target: &str) -> Option<Self> {
                let (prefix, name) = target.split_once('.')?;
                if prefix == TARGET_PREFIX { Self::from_name(name) } else { None }
            }
        }
    }
}

fn rest_binding(model: &Model, variants: &[proc_macro2::Ident]) -> Result<TokenStream> {
    let methods = model.operations.values().map(|operation| &operation.http.method);
    let uris = model.operations.values().map(|operation| &operation.http.request_uri);
    let queries =
        model.operations.values().map(|operation| query(model, operation)).collect::<Result<Vec<_>>>()?;
    let (queried, queries): (Vec<_>, Vec<_>) =
        variants.iter().zip(queries).filter(|(_, parameters)| !parameters.is_empty()).unzip();
    Ok(quote! {
        use crate::rest::QueryParameter;
        impl Operation {
            /// The HTTP method.
            pub const fn method(self) -> &'static str {
                match self { #(Self::#variants => #methods,)* }
            }
            /// The path; a member in braces stands for the rest of it.
            pub const fn uri(self) -> &'static str {
                match self { #(Self::#variants => #uris,)* }
            }
            /// The members that travel in the query string.
            pub const fn query(self) -> &'static [QueryParameter] {
                match self {
                    #(Self::#queried => &[#(#queries),*],)*
                    _ => &[],
                }
            }
        }
    })
}

fn query(model: &Model, operation: &Operation) -> Result<Vec<TokenStream>> {
    let members = &model.input(operation)?.members;
    let parameters = members.iter().filter(|(_, member)| member.location.as_deref() == Some("querystring"));
    parameters
        .map(|(member, reference)| {
            let name = reference.location_name.as_ref().unwrap_or(member);
            let repeated = match model.shape(&reference.shape)? {
                Shape::String(_) => false,
                Shape::List { member, .. } if matches!(model.shape(&member.shape)?, Shape::String(_)) => true,
                _ => bail!("{member}: only strings and lists of strings are read from a query string"),
            };
            Ok(quote!(QueryParameter { name: #name, member: #member, repeated: #repeated }))
        })
        .collect()
}
