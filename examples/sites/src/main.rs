//! Serves the site on this machine until it is told to end: `armada-sites --port 8080`; and with `--upstream`, a proxy
//! to reach it through.

use std::io::Write as _;

use armada_sites::upstream::{self, Carried};
use armada_sites::{INVITATION, Member, PASSWORD, Site};
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Serves Said in Passing, a small web site for the example projects to visit, on this machine only.
#[derive(Parser)]
#[command(after_help = credentials())]
struct Arguments {
    /// The port to listen on; 0 for any that is free. The site's URL is printed.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Also be an upstream proxy, on any port that is free. Its URL is printed, too, and every connection that it
    /// carries on standard error.
    #[arg(long)]
    upstream: bool,
}

/// Who may log in, and how.
fn credentials() -> String {
    let members = Member::ALL.map(|member| member.email).join(", ");
    format!(
        "Members log in at /login with the password \"{PASSWORD}\": {members}. Who joins at /join needs the invitation \
         \"{INVITATION}\"."
    )
}

/// Tells what becomes of a connection to the proxy. Who does not listen misses it.
fn tell(carried: Carried) {
    let _ = match carried {
        Carried::To(target) => writeln!(std::io::stderr(), "the upstream proxy carries a connection to {target}"),
        Carried::Refused => writeln!(std::io::stderr(), "the upstream proxy was not told its password"),
    };
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let listener = TcpListener::bind(("127.0.0.1", arguments.port)).await?;
    let mut urls = format!("http://{}\n", listener.local_addr()?);
    let mut proxy = None;
    if arguments.upstream {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        urls.push_str(&format!("http://{}\n", listener.local_addr()?));
        proxy = Some(listener);
    }
    std::io::stdout().write_all(urls.as_bytes())?;
    let carrying = async {
        match proxy {
            Some(listener) => upstream::serve(listener, tell).await,
            None => std::future::pending().await,
        }
    };
    let told_to_end = async {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    };
    let site = Site::default();
    tokio::select! {
        served = site.serve(listener, told_to_end) => served?,
        carried = carrying => carried?,
    }
    Ok(())
}
