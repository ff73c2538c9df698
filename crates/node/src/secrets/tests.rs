use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// A data directory with some secrets, and the paths of its two sources.
fn data_dir() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (directory, file) = (dir.path().join("secrets"), dir.path().join("secrets.env"));
    write(&directory.join("prod/db/password"), "hunter2\n");
    write(&directory.join("plain"), " two\nlines \n\n");
    write(&directory.join("my-secret"), "whole");
    write(&directory.join("my"), "short");
    write(&directory.join("json"), r#"{"user":"ada","port":5432,"zero":"a\u0000b"}"#);
    write(
        &file,
        "# comment\n\nTOKEN=a=b 'c'\n/prod/api/key=k1\nplain=shadowed\nTOKEN2=old\nTOKEN2=new\n=nobody\n",
    );
    (dir, directory, file)
}

fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// The value, or the error as text.
fn resolve(secrets: &Secrets, value_from: &str) -> Result<String, String> {
    let secret = secrets.resolve(value_from).map_err(|error| error.to_string())?;
    assert_eq!(format!("{secret:?}"), "[secret]");
    Ok(secret.expose().to_owned())
}

const SECRET: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:";
const PARAMETER: &str = "arn:aws:ssm:eu-west-1:000000000000:parameter/";

#[test]
fn each_form_of_a_reference_finds_its_value() {
    let (dir, ..) = data_dir();
    let secrets = Secrets::in_data_dir(dir.path());
    let missing = "there is no such secret here";
    let no_form = "valueFrom is not an ARN of a secret or parameter, nor the name of a parameter";
    let key = |key: &str| format!("it is not a JSON object with the key {key}");
    for (value_from, want) in [
        (format!("{SECRET}prod/db/password"), Ok("hunter2")),
        (format!("{SECRET}prod/db/password-AbCdEf"), Ok("hunter2")),
        (format!("{SECRET}prod/db/password-AbCdE"), Err(missing)),
        (format!("{SECRET}plain"), Ok(" two\nlines \n")),
        (format!("{SECRET}my-secret"), Ok("whole")),
        (format!("{SECRET}my-AbCdEf"), Ok("short")),
        (format!("{SECRET}my-secret-AbCdEf"), Ok("whole")),
        (format!("{SECRET}json-AbCdEf:user::"), Ok("ada")),
        (format!("{SECRET}json:port:AWSCURRENT:"), Ok("5432")),
        (format!("{SECRET}my:::some-version"), Ok("short")),
        (format!("{SECRET}json:nobody::"), Err(&*key("nobody"))),
        (format!("{SECRET}json:zero::"), Err(&*key("zero"))),
        (format!("{SECRET}my:user::"), Err(&*key("user"))),
        ("arn:aws-cn:secretsmanager:cn-north-1:1:secret:TOKEN".into(), Ok("a=b 'c'")),
        (format!("{PARAMETER}prod/db/password"), Ok("hunter2")),
        (format!("{PARAMETER}prod/api/key"), Ok("k1")),
        (format!("{PARAMETER}TOKEN2"), Ok("new")),
        ("/prod/db/password".into(), Ok("hunter2")),
        ("prod/db/password".into(), Ok("hunter2")),
        ("/prod/api/key".into(), Ok("k1")),
        ("TOKEN".into(), Ok("a=b 'c'")),
        ("my-AbCdEf".into(), Err(missing)), // parameters have no suffix
        ("absent".into(), Err(missing)),
        ("plain/below".into(), Err(missing)),
        ("".into(), Err(no_form)),
        ("/".into(), Err(no_form)),
        ("a b".into(), Err(no_form)),
        ("x".repeat(2000), Err(no_form)),
        ("arn:aws:s3:::bucket/key".into(), Err(no_form)),
        ("arn:aws:ssm:us-east-1:000000000000:document/x".into(), Err(no_form)),
        ("arn:aws:secretsmanager:us-east-1".into(), Err(no_form)),
        ("arn:other:ssm:us-east-1:000000000000:parameter/TOKEN".into(), Err(no_form)),
    ] {
        assert_eq!(
            resolve(&secrets, &value_from),
            want.map(str::to_owned).map_err(str::to_owned),
            "{value_from}"
        );
    }
}

#[test]
fn nothing_leads_out_of_the_directory() {
    let (dir, directory, file) = data_dir();
    let outside = dir.path().join("outside");
    write(&outside, "outside");
    write(&directory.join("..data/inner"), "inner");
    symlink(&outside, directory.join("absolute")).unwrap();
    symlink("../outside", directory.join("relative")).unwrap();
    symlink("..", directory.join("up")).unwrap();
    symlink("loop", directory.join("loop")).unwrap();
    symlink("..data/inner", directory.join("inside")).unwrap();
    let secrets = Secrets::at(&directory);
    let no_form = "valueFrom is not an ARN of a secret or parameter, nor the name of a parameter";
    let out = "it is not a file within the directory of secrets";
    let absolute = format!("/{}", outside.display());
    for (value_from, want) in [
        ("../outside", Err(no_form)),
        ("/../outside", Err(no_form)),
        ("prod/../../outside", Err(no_form)),
        ("prod/./db", Err(no_form)),
        ("prod//db", Err(no_form)),
        (&*absolute, Err(no_form)),
        (&*format!("{SECRET}../outside-AbCdEf"), Err(no_form)),
        (&*format!("{PARAMETER}../outside"), Err(no_form)),
        ("absolute", Err(out)),
        ("relative", Err(out)),
        ("up/outside", Err(out)),
        ("loop", Err(out)),
        ("prod", Err(out)),
        ("inside", Ok("inner")),
    ] {
        assert_eq!(
            resolve(&secrets, value_from),
            want.map(str::to_owned).map_err(str::to_owned),
            "{value_from}"
        );
    }
    assert_eq!(resolve(&Secrets::at(&file), "TOKEN").unwrap(), "a=b 'c'");
    assert_eq!(resolve(&Secrets::default(), "TOKEN").unwrap_err(), "there is no such secret here");
}

#[test]
fn files_that_are_not_the_owners_alone_or_no_text_are_refused() {
    let (dir, directory, file) = data_dir();
    let secrets = Secrets::in_data_dir(dir.path());
    let error = |name| resolve(&secrets, name).unwrap_err();
    for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(directory.join("plain"), Permissions::from_mode(mode)).unwrap();
        assert_eq!(error("plain"), "its file can be read by other users (chmod 600 is needed)", "{mode:o}");
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        assert_eq!(error("TOKEN"), "its file can be read by other users (chmod 600 is needed)", "{mode:o}");
    }
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(directory.join("my"), Some(64321), None).unwrap();
        assert_eq!(error("my"), "its file belongs to another user");
    } else {
        println!("skipped in part: only root can give a file away");
    }
    write(&directory.join("bytes"), b"hunter2\xff");
    write(&directory.join("zero"), b"hunter2\0");
    write(&directory.join("long"), vec![b'x'; VALUE_BYTES_MAX + 1]);
    write(&directory.join("longest"), vec![b'x'; VALUE_BYTES_MAX]);
    assert_eq!(error("bytes"), "it is not UTF-8 text without zero bytes");
    assert_eq!(error("zero"), "it is not UTF-8 text without zero bytes");
    assert_eq!(error("long"), "it is too long");
    assert_eq!(resolve(&secrets, "longest").unwrap().len(), VALUE_BYTES_MAX);
    write(&file, format!("BIG={}\nTOKEN=1\n", "x".repeat(VALUE_BYTES_MAX + 1)));
    assert_eq!((error("BIG"), resolve(&secrets, "TOKEN")), ("it is too long".into(), Ok("1".into())));
    let pipe = directory.join("pipe");
    assert!(std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap().success());
    assert_eq!(error("pipe"), "it is not a file within the directory of secrets");
}

#[test]
fn no_debug_form_and_no_error_shows_a_value() {
    let (dir, directory, _) = data_dir();
    write(&directory.join("bytes"), b"hunter2\xff");
    let secrets = Secrets::in_data_dir(dir.path());
    let password = secrets.resolve("prod/db/password").unwrap();
    let key = secrets.resolve(&format!("{SECRET}prod/db/password:key::")).unwrap_err();
    let bytes = secrets.resolve("bytes").unwrap_err();
    for text in [
        format!("{password:?} {:?}", Some(("NAME", &password))),
        format!("{secrets:?} {key:?} {key} {bytes:?} {bytes}"),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
