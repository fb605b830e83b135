//! Serves the site on this machine until it is told to end: `armada-sites --port 8080`.

use std::io::Write as _;

use armada_sites::{Member, PASSWORD, Site};
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Serves Said in Passing, a small web site for the example project to visit, on this machine only.
#[derive(Parser)]
#[command(after_help = credentials())]
struct Arguments {
    /// The port to listen on; 0 for any that is free. The site's URL is printed.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// Who may log in, and how.
fn credentials() -> String {
    let members = Member::ALL.map(|member| member.email).join(", ");
    format!("Members log in at /login with the password \"{PASSWORD}\": {members}.")
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let listener = TcpListener::bind(("127.0.0.1", arguments.port)).await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    let told_to_end = async {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    };
    Site::default().serve(listener, told_to_end).await?;
    Ok(())
}
