//! The broker actor's glue: each message is one call of `Hosting`, run to its end before the next message is
//! taken, so that changes of metadata are carried out in the order they were committed. Checkpoints run
//! beside them. When the actor panics it is started again by its own death notice.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use broker_model::limits::BROKER_MAILBOX;
use tracing::{error, warn};

use super::handle::BrokerError;
use super::hosting::Hosting;
use super::messages::{
    Apply, ControllerDied, Crash, HostAll, LogsAreLate, ModulesReadable, PartitionDied,
    PartitionVanished, Shutdown, Tick, VanishedNoted,
};
use super::restarts::Restarts;
use crate::death_notice::DeathNotice;
use crate::reply::Reply;

/// Parent of every other actor of this broker.
pub(crate) struct BrokerActor {
    hosting: Arc<Hosting>,
    restarts: Restarts,
    /// By directory, partitions to be given up once their high watermarks are on the disk.
    vanished: Rc<RefCell<BTreeMap<usize, Vec<PartitionVanished>>>>,
    death: DeathNotice,
}

impl BrokerActor {
    /// Starts the actor on the control arbiter. When it panics it is started again; the partitions,
    /// which live in `Hosting`, do not notice.
    pub(crate) fn start_on(hosting: Arc<Hosting>) {
        let arbiter = hosting.arbiters().control().clone();
        let handle = hosting.handle().clone();
        let addr = Self::start_in_arbiter(&arbiter, move |ctx| {
            ctx.set_mailbox_capacity(BROKER_MAILBOX);
            let parent = hosting.clone();
            let death = DeathNotice::new(move || {
                if !parent.is_stopping() {
                    error!("the broker actor panicked and is started again");
                    parent.handle().stats().restarted();
                    Self::start_on(parent);
                }
            });
            Self {
                hosting,
                restarts: Restarts::default(),
                vanished: Rc::default(),
                death,
            }
        });
        handle.attach(addr);
    }

    /// Tries the partitions again that could not be opened for a reason that passes.
    fn open_waiting(&self) {
        // A panic may have taken the message that tells of late ones.
        self.hosting.host_late();
        for partition in self.hosting.waiting_to_open() {
            self.hosting.open_again(&partition);
        }
    }

    fn handled(&self) {
        self.hosting.handle().stats().handled();
    }
}

/// Runs `work` before the next message is taken, then answers.
fn run<F>(ctx: &mut Context<BrokerActor>, work: F, reply: Reply<(), BrokerError>)
where
    F: Future<Output = ()> + 'static,
{
    ctx.wait(actix::fut::wrap_future::<_, BrokerActor>(async move {
        work.await;
        reply.send(Ok(()));
    }));
}

/// Ticks come through the mailbox, one at a time: actix polls one timer of an actor between two messages
/// that are waited for, so that a flood of changes could hold the others up for ever.
fn tick_every(interval: Duration, tick: Tick, addr: actix::WeakAddr<BrokerActor>) {
    actix_rt::spawn(async move {
        loop {
            tokio::time::sleep(interval).await;
            let Some(addr) = addr.upgrade() else { return };
            if addr.send(tick).await.is_err() {
                return;
            }
        }
    });
}

impl Actor for BrokerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let every = [
            (self.hosting.retention_check_interval(), Tick::Retention),
            (self.hosting.cleaner_backoff(), Tick::Cleaning),
            (self.hosting.scrubber().look_every(), Tick::Scrub),
            (self.hosting.checkpoint_interval(), Tick::Checkpoint),
            (self.hosting.space_check_interval(), Tick::Space),
        ];
        for (interval, tick) in every {
            tick_every(interval, tick, ctx.address().downgrade());
        }
        // After a panic: whatever a lost message was to start is started now.
        let hosting = self.hosting.clone();
        let metadata = hosting.metadata().load_full();
        run(
            ctx,
            async move { hosting.host_all(&metadata).await },
            Reply::ignored(),
        );
    }
}

impl Handler<Tick> for BrokerActor {
    type Result = ();

    fn handle(&mut self, tick: Tick, _: &mut Self::Context) {
        if matches!(tick, Tick::Space) {
            self.open_waiting();
        }
        let hosting = self.hosting.clone();
        // Beside the actor: none of them is in the way of what comes next, nor the other way round.
        actix_rt::spawn(async move {
            match tick {
                Tick::Retention => hosting.check_retention(),
                Tick::Cleaning => hosting.cleaner().round().await,
                Tick::Scrub => hosting.scrubber().round_if_due().await,
                Tick::Checkpoint => hosting.write_checkpoints(),
                Tick::Space => hosting.look_at_dirs(),
            }
        });
    }
}

impl Handler<ModulesReadable> for BrokerActor {
    type Result = ();

    fn handle(&mut self, message: ModulesReadable, ctx: &mut Self::Context) {
        self.handled();
        let hosting = self.hosting.clone();
        let renewing = async move { hosting.renew_plugins(&message.0).await };
        run(ctx, renewing, Reply::ignored());
    }
}

impl Handler<Apply> for BrokerActor {
    type Result = ();

    fn handle(&mut self, message: Apply, ctx: &mut Self::Context) {
        self.handled();
        let hosting = self.hosting.clone();
        let Apply { changes, reply } = message;
        run(ctx, async move { hosting.apply(&changes).await }, reply);
    }
}

impl Handler<HostAll> for BrokerActor {
    type Result = ();

    fn handle(&mut self, message: HostAll, ctx: &mut Self::Context) {
        self.handled();
        let hosting = self.hosting.clone();
        let HostAll { metadata, reply } = message;
        run(ctx, async move { hosting.host_all(&metadata).await }, reply);
    }
}

impl Handler<PartitionDied> for BrokerActor {
    type Result = ();

    fn handle(&mut self, PartitionDied(partition): PartitionDied, ctx: &mut Self::Context) {
        self.handled();
        let again = self.restarts.allow(&partition, self.hosting.now());
        warn!(%partition, again, "a partition actor panicked");
        let hosting = self.hosting.clone();
        let work = async move {
            if again {
                hosting.restart_partition(&partition).await;
            } else {
                let reason = "its actor keeps panicking; see the log, then restart the broker";
                error!(%partition, reason, "a partition is offline");
                let offline = vec![(partition.partition, reason.to_owned())];
                hosting.set_offline(&partition.topic, offline);
            }
        };
        run(ctx, work, Reply::ignored());
    }
}

impl Handler<PartitionVanished> for BrokerActor {
    type Result = ();

    fn handle(&mut self, message: PartitionVanished, _: &mut Self::Context) {
        self.handled();
        let dir = self.hosting.dirs.index_of(&message.partition);
        let mut vanished = self.vanished.borrow_mut();
        vanished.entry(dir).or_default().push(message);
        let (hosting, vanished) = (self.hosting.clone(), self.vanished.clone());
        // Beside the actor, and once for all that vanish together: there may be thousands.
        actix_rt::spawn(async move {
            let take = || vanished.borrow_mut().remove(&dir).unwrap_or_default();
            let noted = hosting.write_checkpoints_for(dir, take).await;
            if !noted.is_empty() {
                hosting.handle().vanished_noted(noted);
            }
        });
    }
}

impl Handler<VanishedNoted> for BrokerActor {
    type Result = ();

    fn handle(&mut self, VanishedNoted(vanished): VanishedNoted, _: &mut Self::Context) {
        self.handled();
        self.hosting.give_up(vanished);
    }
}

impl Handler<LogsAreLate> for BrokerActor {
    type Result = ();

    fn handle(&mut self, _: LogsAreLate, _: &mut Self::Context) {
        self.handled();
        self.hosting.host_late();
    }
}

impl Handler<ControllerDied> for BrokerActor {
    type Result = ();

    fn handle(&mut self, _: ControllerDied, ctx: &mut Self::Context) {
        self.handled();
        warn!("the controller panicked and is started again");
        let hosting = self.hosting.clone();
        run(
            ctx,
            async move { hosting.restart_controller().await },
            Reply::ignored(),
        );
    }
}

impl Handler<Shutdown> for BrokerActor {
    type Result = ();

    fn handle(&mut self, message: Shutdown, ctx: &mut Self::Context) {
        self.handled();
        self.death.defuse();
        let hosting = self.hosting.clone();
        run(ctx, async move { hosting.close_all().await }, message.reply);
    }
}

impl Handler<Crash> for BrokerActor {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Self::Context) {
        self.handled();
        panic!("fault injection asked the broker actor to crash");
    }
}
