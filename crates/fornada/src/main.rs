//! The `fornada` binary: the server, the node and the command line in one program.
//!
//! Every command but `up`, `server`, `node`, `simulate` and those of [`data`] is a client of the public API and knows nothing
//! of the server's inside.

#![forbid(unsafe_code)]

mod cli;
mod data;
mod serve;
mod simulate;

use std::process::ExitCode;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let Cli { global, command } = match cli::config::parse() {
        Ok(cli) => cli,
        Err(error) => return cli::report(&error),
    };
    global.color.write_global();
    let result = match command {
        Command::Up(args) => global.server_data_dir().and_then(|data_dir| serve::up(args.with(data_dir))),
        Command::Server(args) => {
            global.server_data_dir().and_then(|data_dir| serve::server(args.with(data_dir)))
        }
        Command::Node(args) => global.server_data_dir().and_then(|data_dir| serve::node(args.with(data_dir))),
        Command::Backup(args) => global.server_data_dir().and_then(|data_dir| data::backup(&args, &data_dir)),
        Command::Restore(args) => {
            global.server_data_dir().and_then(|data_dir| data::restore(&args, &data_dir))
        }
        Command::Check(args) => global.server_data_dir().and_then(|data_dir| data::check(&args, &data_dir)),
        Command::Simulate(args) => simulate::simulate(&args),
        Command::Completions(args) => cli::completions::print(&args),
        Command::Client(command) => cli::run_client(&global, command),
    };
    result.unwrap_or_else(|error| cli::report(&error))
}
