//! From names of the model to names of Rust.

use proc_macro2::Ident;
use quote::format_ident;

/// `jobQueue` → `job_queue`, `type` → `r#type`.
pub(crate) fn field(member: &str) -> Ident {
    // Words that a reader takes as one, whatever their capitals: `maxvCpus`, `sizeInGiB`.
    let name = snake(&member.replace("vCpus", "Vcpus").replace("GiB", "Gib"));
    syn::parse_str(&name).unwrap_or_else(|_| Ident::new_raw(&name, proc_macro2::Span::call_site()))
}

/// `FARGATE_SPOT` → `FargateSpot`, `json-file` → `JsonFile`, `RuntimeDefault` stays.
pub(crate) fn variant(value: &str) -> Ident {
    let words = value.split(|c: char| !c.is_ascii_alphanumeric());
    let name: String = words
        .map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            let shouts = !word.contains(|c: char| c.is_ascii_lowercase());
            first.to_ascii_uppercase() + &if shouts { rest.to_ascii_lowercase() } else { rest.to_owned() }
        })
        .collect();
    format_ident!("{name}")
}

/// `SubmitJobRequest` → `SUBMIT_JOB_REQUEST`.
pub(crate) fn constant(shape: &str) -> Ident {
    format_ident!("{}", snake(shape).to_ascii_uppercase())
}

/// What serde's `rename_all = "camelCase"` makes of a field.
pub(crate) fn serde_camel(field: &Ident) -> String {
    let field = field.to_string();
    let mut words = field.trim_start_matches("r#").split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (head, tail) = word.split_at(word.len().min(1));
        name + &head.to_ascii_uppercase() + tail
    })
}

/// A word starts at a capital that follows a small letter or digit, or that is followed by a small letter.
fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, &c) in chars.iter().enumerate() {
        let after_small = i > 0 && !chars[i - 1].is_ascii_uppercase();
        let before_small = chars.get(i + 1).is_some_and(char::is_ascii_lowercase);
        if i > 0 && c.is_ascii_uppercase() && (after_small || before_small) {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_rust() {
        let fields = [
            ("jobQueue", "job_queue"),
            ("type", "r#type"),
            ("maxvCpus", "max_vcpus"),
            ("containerID", "container_id"),
            ("ec2KeyPair", "ec2_key_pair"),
            ("sizeInGiB", "size_in_gib"),
        ];
        for (member, want) in fields {
            assert_eq!(field(member).to_string(), want);
        }
        for (value, want) in
            [("N_TO_N", "NToN"), ("EC2", "Ec2"), ("json-file", "JsonFile"), ("Localhost", "Localhost")]
        {
            assert_eq!(variant(value).to_string(), want);
        }
        assert_eq!(constant("CRType").to_string(), "CR_TYPE");
        assert_eq!(serde_camel(&field("privateIpv4Address")), "privateIpv4Address");
    }
}
