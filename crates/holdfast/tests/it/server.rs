//! `holdfast server` when something is wrong, and its precedence of settings.

use std::net::TcpListener;
use std::process::Output;

use crate::scratch::{Scratch, holdfast, port_base, run, stderr, stdout, text};

/// Starts a server that must refuse to start.
fn refused(arguments: &[&str]) -> (Output, String) {
    let mut all = vec!["server"];
    all.extend(arguments);
    let output = run(&all);
    assert!(!output.status.success(), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("\n   do: "), "{said}");
    (output, said)
}

fn setting(shown: &str, name: &str) -> String {
    let line = shown
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")))
        .expect(name);
    line[name.len()..].trim().to_owned()
}

#[test]
fn flags_go_before_the_environment_before_the_file_before_defaults() {
    let scratch = Scratch::new("precedence");
    let file = scratch.write("c.toml", "zone = 'file'\nname = 'file'\nregion = 'file'\n");
    let output = holdfast()
        .args(["server", "--check", "--config", text(&file), "--zone", "flag"])
        .env("HOLDFAST_ZONE", "environment")
        .env("HOLDFAST_NAME", "environment")
        .output()
        .expect("starts");
    let shown = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(setting(&shown, "zone"), "flag");
    assert_eq!(setting(&shown, "name"), "environment");
    assert_eq!(setting(&shown, "region"), "file");
    assert_eq!(setting(&shown, "s3_bind"), "127.0.0.1:9000");
}

#[test]
fn configurations_that_cannot_be_read_say_what_and_where() {
    let scratch = Scratch::new("config");
    let (output, said) = refused(&["--config", text(&scratch.path("absent.toml"))]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("absent.toml"), "{said}");

    let unknown = scratch.write("unknown.toml", "name = 'a'\ntls_certificate = 'x'\n");
    let (_, said) = refused(&["--config", text(&unknown)]);
    assert!(said.contains("line 2: unknown key `tls_certificate`"), "{said}");

    let wrong = scratch.write("wrong.toml", "name = 'a'\n\nrest_bind = 9001\n");
    let (_, said) = refused(&["--config", text(&wrong)]);
    assert!(said.contains("line 3, rest_bind"), "{said}");

    let (_, said) = refused(&["--config", text(&scratch.path(""))]);
    assert!(said.contains("cannot be read"), "{said}");
}

#[test]
fn a_port_in_use_is_named_before_anything_is_written() {
    let scratch = Scratch::new("port");
    let base = port_base(1);
    let taken = TcpListener::bind(("127.0.0.1", base + 1)).expect("binds");
    let bind = |offset: u16| format!("127.0.0.1:{}", base + offset);
    let data = scratch.path("data");
    let (_, said) = refused(&[
        "--data",
        text(&data),
        "--s3-bind",
        &bind(0),
        "--rest-bind",
        &bind(1),
        "--node-bind",
        &bind(2),
    ]);
    drop(taken);
    assert!(said.contains(&format!("REST port {}", bind(1))), "{said}");
    assert!(said.contains("--rest-bind"), "{said}");
    assert!(!data.exists());
}

#[test]
fn data_directories_that_cannot_be_used_are_refused() {
    let scratch = Scratch::new("data");
    let base = port_base(1);
    let port = |offset: u16| format!("127.0.0.1:{}", base + offset);
    let try_on = |data: &str| {
        refused(&[
            "--data",
            data,
            "--s3-bind",
            &port(0),
            "--rest-bind",
            &port(1),
            "--node-bind",
            &port(2),
        ])
        .1
    };
    let file = scratch.write("file", "");
    assert!(try_on(text(&file)).contains("not a directory"));
    // Not even root makes directories there.
    assert!(try_on("/proc/holdfast").contains("cannot be used"));
    scratch.write("thesis.tex", "");
    let said = try_on(text(&scratch.path("")));
    assert!(said.contains("not Holdfast's"), "{said}");
}

#[test]
fn a_token_that_is_none_is_refused() {
    let scratch = Scratch::new("token");
    let base = port_base(1);
    let port = |offset: u16| format!("127.0.0.1:{}", base + offset);
    let data = scratch.path("data");
    let (_, said) = refused(&[
        "--data",
        text(&data),
        "--join",
        "127.0.0.1:1",
        "--token",
        "hunter2",
        "--s3-bind",
        &port(0),
        "--rest-bind",
        &port(1),
        "--node-bind",
        &port(2),
    ]);
    assert!(said.contains("not a join token"), "{said}");
}
