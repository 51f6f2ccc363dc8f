//! From the command line to a running service and back to an exit code. The four mains are one call of this.

use std::error::Error;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::settings::Settings;
use crate::shutdown::Shutdown;
use crate::{grpc, health, telemetry};

/// Exit code of a configuration that cannot be used (EX_USAGE of sysexits).
pub const EXIT_CONFIGURATION: u8 = 64;

/// Exit code of a service that has put something in order and goes on when it is started again (EX_TEMPFAIL of sysexits).
pub const EXIT_AGAIN: u8 = 75;

/// Among the sources of the error that ends a service: the next start is a good one. Whoever runs the service should start it again.
#[derive(Debug, thiserror::Error)]
#[error("it goes on when it is started again")]
pub struct StartAgain;

/// Exit code of a service whose data cannot be read (EX_DATAERR of sysexits): no start is a good one before somebody has put them away.
pub const EXIT_DATA: u8 = 65;

/// Among the sources of the error that ends a service: its data cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UnreadableData(#[source] pub Box<dyn Error + Send + Sync>);

/// Exit code of wrong arguments.
const EXIT_ARGUMENTS: u8 = 2;

/// How long `health` and `live` wait for an answer; an exec probe has its own limit above it.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// How long threads may take to end at exit: a name lookup that hangs is left behind.
const THREADS_END: Duration = Duration::from_secs(1);

/// Most worker threads of a service: the work is small steps between disk and network.
const WORKERS_MAX: usize = 4;

/// Threads for blocking calls (name lookups, fsync of small files).
const BLOCKING: usize = 8;

/// What a probe asks the running service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// Whether it is ready.
    Ready,
    /// Whether it runs at all: what does, is not to be restarted, ready or not.
    Live,
}

/// How the service was called.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    config: Option<PathBuf>,
    question: Option<Question>,
    help: bool,
    version: bool,
    die_with: Option<Parent>,
}

/// Whose end is this process's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parent {
    /// Whoever started it.
    Any,
    /// The process with this id: when it is not the parent any more, it has ended already.
    Id(i32),
}

/// Runs a service by the process's arguments: `[--config FILE] [health|live]`.
pub fn service_main<F, E>(
    service: &'static str,
    about: &str,
    run: impl FnOnce(Settings, Shutdown) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Error,
{
    service_main_from(service, about, std::env::args().skip(1), run)
}

/// The same with arguments of the caller: the multi-call command has taken its own word off.
pub fn service_main_from<F, E>(
    service: &'static str,
    about: &str,
    arguments: impl Iterator<Item = String>,
    run: impl FnOnce(Settings, Shutdown) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Error,
{
    let arguments = match parse(arguments) {
        Ok(arguments) => arguments,
        Err(unknown) => {
            say(&format!(
                "unknown argument `{unknown}`\n\n{}",
                usage(service, about)
            ));
            return ExitCode::from(EXIT_ARGUMENTS);
        }
    };
    if arguments.help {
        return print(&usage(service, about));
    }
    if arguments.version {
        return print(&format!(
            "stemedb-{service} {}\n",
            env!("CARGO_PKG_VERSION")
        ));
    }
    let settings = match Settings::load(arguments.config.as_deref()) {
        Ok(settings) => settings,
        Err(error) => {
            say(&format!(
                "stemedb-{service}: {error}\nsee `stemedb config check`\n"
            ));
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .max_blocking_threads(BLOCKING)
        .thread_name(format!("stemedb-{service}"))
        .enable_all()
        .build();
    match (runtime, arguments.question) {
        (Ok(runtime), Some(question)) => runtime.block_on(ask(service, question, &settings)),
        (Ok(runtime), None) => {
            let code = runtime.block_on(serve(service, settings, arguments.die_with, run));
            runtime.shutdown_timeout(THREADS_END);
            code
        }
        (Err(error), _) => {
            say(&format!(
                "stemedb-{service}: cannot start threads: {error}\n"
            ));
            ExitCode::FAILURE
        }
    }
}

/// Worker threads: half as many as cores, since a node is four processes. More only wake each other.
fn workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, WORKERS_MAX)
}

/// What whoever runs the service learns of its end.
fn code_of(error: &dyn Error) -> ExitCode {
    if caused_by::<StartAgain>(error) {
        ExitCode::from(EXIT_AGAIN)
    } else if caused_by::<UnreadableData>(error) {
        ExitCode::from(EXIT_DATA)
    } else {
        ExitCode::FAILURE
    }
}

fn caused_by<E: Error + 'static>(error: &dyn Error) -> bool {
    std::iter::successors(error.source(), |source| (*source).source())
        .any(|source| source.is::<E>())
}

async fn serve<F, E>(
    service: &'static str,
    settings: Settings,
    die_with: Option<Parent>,
    run: impl FnOnce(Settings, Shutdown) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Error,
{
    let guard = match telemetry::init(service, &settings) {
        Ok(guard) => guard,
        Err(error) => {
            say(&format!("stemedb-{service}: {error}\n"));
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals");
            return ExitCode::FAILURE;
        }
    };
    if die_with.is_some_and(|parent| !follow(parent)) {
        tracing::warn!("the parent is gone already");
        return ExitCode::FAILURE;
    }
    tracing::info!(
        service,
        node = settings.cluster.node_id,
        version = env!("CARGO_PKG_VERSION"),
        "starting"
    );
    let code = match run(settings, shutdown).await {
        Ok(()) => {
            tracing::info!(service, "stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(service, %error, "stopped by an error");
            code_of(&error)
        }
    };
    guard.flush().await;
    code
}

/// Has the kernel kill this process when its parent ends. False: it has ended already.
fn follow(parent: Parent) -> bool {
    let expected = match parent {
        Parent::Any => rustix::process::getppid(),
        Parent::Id(id) => rustix::process::Pid::from_raw(id),
    };
    let followed =
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .is_ok();
    followed && expected.is_some() && rustix::process::getppid() == expected
}

async fn ask(service: &str, question: Question, settings: &Settings) -> ExitCode {
    let answer = async {
        let addr = settings
            .loopback()
            .grpc_of(service)
            .ok_or("no such service")?;
        let channel = grpc::local_channel(addr).map_err(|error| error.to_string())?;
        match question {
            Question::Ready => health::check(channel).await,
            Question::Live => health::check_live(channel).await,
        }
    };
    let verdict = tokio::time::timeout(HEALTH_TIMEOUT, answer)
        .await
        .unwrap_or_else(|_| Err("does not answer in time".to_owned()));
    match verdict {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            say(&format!("stemedb-{service} {reason}\n"));
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut parsed = Arguments::default();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--config" | "-c" => parsed.config = Some(arguments.next().ok_or(argument)?.into()),
            "health" => parsed.question = Some(Question::Ready),
            "live" => parsed.question = Some(Question::Live),
            "--help" | "-h" | "help" => parsed.help = true,
            "--version" | "-V" => parsed.version = true,
            "--die-with-parent" => parsed.die_with = Some(Parent::Any),
            _ => {
                let id = argument
                    .strip_prefix("--die-with-parent=")
                    .and_then(|id| id.parse().ok());
                parsed.die_with = Some(Parent::Id(id.ok_or(argument)?));
            }
        }
    }
    Ok(parsed)
}

fn usage(service: &str, about: &str) -> String {
    format!(
        "{about}\n\n\
         Usage: stemedb-{service} [--config FILE]         run until SIGTERM or SIGINT\n\
         \x20      stemedb-{service} [--config FILE] health  exit 0 when the running service is ready, else 1\n\
         \x20      stemedb-{service} [--config FILE] live    exit 0 when it runs, ready or not, else 1\n\n\
         Options:\n\
         \x20 -c, --config FILE         configuration file; STEMEDB_* variables win over it\n\
         \x20 --die-with-parent[=PID]    end when the process that started this one ends\n\
         \x20 -V, --version             print the version\n\
         \x20 -h, --help                print this\n\n\
         Settings are listed in docs/configuration.md; `stemedb config check` shows them merged.\n"
    )
}

#[allow(clippy::print_stderr, reason = "before telemetry there is only stderr")]
fn say(text: &str) {
    eprint!("{text}");
}

#[allow(
    clippy::print_stdout,
    reason = "help and version are what was asked for"
)]
fn print(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{Reason, TaskError};

    fn parsed(arguments: &[&str]) -> Result<Arguments, String> {
        parse(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn arguments_are_a_file_and_perhaps_health() {
        let both = parsed(&["--config", "node.toml", "health"]).unwrap();
        assert_eq!(both.config, Some(PathBuf::from("node.toml")));
        assert_eq!(both.question, Some(Question::Ready));
        assert_eq!(parsed(&["live"]).unwrap().question, Some(Question::Live));
        let child = parsed(&["--die-with-parent=17"]).unwrap();
        assert_eq!(child.die_with, Some(Parent::Id(17)));
        assert_eq!(parsed(&[]), Ok(Arguments::default()));
    }

    #[test]
    fn an_end_has_the_code_of_what_is_behind_it() {
        #[derive(Debug, thiserror::Error)]
        enum Ended {
            #[error("put in order")]
            InOrder(#[source] StartAgain),
            #[error("malformed: {0}")]
            Data(#[source] UnreadableData),
            #[error(transparent)]
            Task(#[from] crate::tasks::TaskError),
        }
        let of = |reason: Reason| {
            Ended::Task(TaskError::Failed {
                name: "part",
                reason,
            })
        };
        let again = ExitCode::from(EXIT_AGAIN);
        assert_eq!(code_of(&Ended::InOrder(StartAgain)), again);
        assert_eq!(code_of(&of(Ended::InOrder(StartAgain).into())), again);
        assert_eq!(code_of(&of("broken".into())), ExitCode::FAILURE);
        let ended = Ended::Task(TaskError::Ended("part"));
        assert_eq!(code_of(&ended), ExitCode::FAILURE);
        let unreadable = Ended::Data(UnreadableData("page 7 is torn".into()));
        assert_eq!(code_of(&unreadable), ExitCode::from(EXIT_DATA));
        assert!(unreadable.to_string().contains("page 7 is torn"));
    }

    #[test]
    fn an_unknown_argument_is_named() {
        assert_eq!(parsed(&["--port"]), Err("--port".to_owned()));
        assert_eq!(parsed(&["--config"]), Err("--config".to_owned()));
        assert!(parsed(&["--die-with-parent=x"]).is_err());
    }
}
