//! Every bound of the broker that is not a configuration key, in one table. What a client can grow
//! has a name here; PROTOCOL.md quotes these numbers.

use std::time::Duration;

/// Longest topic name, in bytes.
pub const TOPIC_NAME_LEN_MAX: usize = 249;
/// Most partitions a topic can have.
pub const PARTITIONS_PER_TOPIC_MAX: u32 = 10_000;

/// Keys and values together of what is set for a topic, and of the options that a plugin is deployed with, in bytes:
/// they stay in memory.
pub const CONFIG_BYTES_MAX: usize = 256 * 1024;

/// Most elements of arrays and maps in the arguments of one request, records aside.
pub const REQUEST_ELEMENTS_MAX: usize = 200_000;

/// Largest frame body before `hello` was answered, in bytes.
pub const FRAME_BYTES_MAX_BEFORE_HELLO: usize = 16 * 1024;
/// Largest frame body after `hello`, in bytes; announced in the answer to `hello`.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Deepest nesting of MessagePack arrays and maps in a frame.
pub const NESTING_DEPTH_MAX: usize = 32;
/// Values in a frame, and bytes, up to which a request is looked at where its connection lives; more goes to
/// threads of their own.
pub const LIGHT_FRAME_VALUES_MAX: u64 = 24_000;
/// See [`LIGHT_FRAME_VALUES_MAX`].
pub const LIGHT_FRAME_BYTES_MAX: usize = 2 * 1024 * 1024;
/// A read buffer is sized from the declared frame length up to here, until the frame has its place in the memory
/// for frames.
pub const READ_BUFFER_TRUSTED_BYTES: usize = 256 * 1024;

/// Requests of one connection that may be under way at once.
pub const IN_FLIGHT_REQUESTS_PER_CONNECTION: usize = 128;
/// Bytes of requests of one connection that may be under way at once.
pub const IN_FLIGHT_BYTES_PER_CONNECTION: usize = 32 * 1024 * 1024;
/// Bytes of requests that may be under way at once on the whole broker, in frames up to 16 KiB ...
pub const IN_FLIGHT_BYTES_TINY: usize = 16 * 1024 * 1024;
/// ... up to 256 KiB ...
pub const IN_FLIGHT_BYTES_SMALL: usize = 32 * 1024 * 1024;
/// ... up to 2 MiB, where most large batches are ...
pub const IN_FLIGHT_BYTES_BATCHES: usize = 48 * 1024 * 1024;
/// ... and beyond.
pub const IN_FLIGHT_BYTES_LARGE: usize = 32 * 1024 * 1024;
/// Memory that all kinds of it have in common which grow with what clients ask: what each uses beyond its own.
pub const MEMORY_IN_COMMON: usize = 24 * 1024 * 1024;
/// Memory that frames up to 256 KiB have of their own, for senders that have completed such frames before, ...
pub const MEMORY_OWN_SMALL: usize = 4 * 1024 * 1024;
/// ... frames up to 2 MiB, ...
pub const MEMORY_OWN_BATCHES: usize = 8 * 1024 * 1024;
/// ... larger frames, ...
pub const MEMORY_OWN_LARGE: usize = FRAME_BYTES_MAX;
/// ... answers, ...
pub const MEMORY_OWN_ANSWERS: usize = FRAME_BYTES_MAX;
/// ... fetches while they are taken apart and carried out, but for one of each connection that names few partitions, ...
pub const MEMORY_OWN_FETCHES: usize = 4 * 1024 * 1024;
/// ... fetches that wait for records, ...
pub const MEMORY_OWN_WAITS: usize = 8 * 1024 * 1024;
/// ... records on their way through plugins, some at a time, ...
pub const MEMORY_OWN_ROUTING_FEW: usize = 4 * 1024 * 1024;
/// ... and very many, ...
pub const MEMORY_OWN_ROUTING_MANY: usize = 16 * 1024 * 1024;
/// ... requests for lists that are carried out, ...
pub const MEMORY_OWN_LISTS: usize = 16 * 1024 * 1024;
/// ... and batches while they are unfolded.
pub const MEMORY_OWN_UNFOLDING: usize = 72 * 1024 * 1024;
/// Most memory of fetches that are carried out, but for one of each connection that names few partitions.
pub const FETCHES_BYTES_MAX: usize = 24 * 1024 * 1024;
/// Most memory of requests for lists that are carried out.
pub const LISTS_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of frames up to 16 KiB that have begun and are not complete, above which those that stand still go.
pub const FRAMES_INCOMPLETE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long a frame may stand still while others wait for its place, and how long 64 KiB of it may take.
pub const FRAME_STALL_MAX: Duration = Duration::from_secs(1);
/// Connections the broker holds at once; further ones are closed at once.
pub const CONNECTIONS_MAX: usize = 10_000;
/// How long a connection may take until its `hello` is complete.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a frame may take from its first byte to its last.
pub const FRAME_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a peer may take to read an answer before the connection is closed.
pub const ANSWER_WRITE_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a peer may take none of its answers while the broker stops.
pub const ANSWER_STOP_TIME_MAX: Duration = Duration::from_secs(3);
/// How long a connection may be idle.
pub const CONNECTION_IDLE_TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// How long a client may take no answers, or less than 64 KiB or a sixteenth of them, while others wait for memory for theirs.
pub const ANSWER_STALL_MAX: Duration = Duration::from_secs(1);
/// Bytes of answers that the system is given for a client beyond those that are on their way to it: twice as many as
/// make a slow reader one that goes on, who would not be told from one that reads nothing if it were many more.
pub const ANSWER_BYTES_UNSENT_MAX: usize = 128 * 1024;
/// Requests for lists, such as `metadata`, that the whole broker carries out at once.
pub const LIST_REQUESTS_MAX: usize = 4;
/// Those of one connection that wait for each other, beyond which the broker stops reading from it, ...
pub const LIST_REQUESTS_PER_CONNECTION: usize = 16;
/// ... and of all connections: further ones get `BUSY`.
pub const LIST_REQUESTS_WAITING: usize = 4 * 1024;
/// Partitions that long polls of one connection may wait for at once, each poll counting as 8 more: `BUSY`.
pub const WAITS_PER_CONNECTION: usize = 16 * 1024;
/// The same on the whole broker; beyond it long polls are answered without waiting.
pub const WAITS_TOTAL: usize = 96 * 1024;

/// Longest time a fetch may wait for data.
pub const FETCH_WAIT_MAX: Duration = Duration::from_secs(60);
/// Most partitions one fetch may name.
pub const FETCH_PARTITIONS_MAX: usize = 1_000;
/// Most bytes of stored batches one fetch answer carries (one whole batch may exceed it).
pub const FETCH_BYTES_MAX: u32 = 8 * 1024 * 1024;
/// Most questions one `list_offsets` may ask, ...
pub const OFFSET_QUESTIONS_MAX: usize = 10_000;
/// ... and how many of them may be about a time, for which batches are unfolded.
pub const OFFSET_TIMES_MAX: usize = 1_000;
/// Most keys one `partition_for` may ask about.
pub const PARTITION_FOR_KEYS_MAX: usize = 100_000;
/// Most topics one `metadata`, `create_topic` or other administrative request may name.
pub const TOPICS_PER_REQUEST_MAX: usize = 10_000;

/// What a batch may have beyond `message.max.bytes` for its header and the framing of its records, so that
/// one value of exactly that many bytes fits.
pub const BATCH_FRAMING_BYTES: u32 = 1024;
/// Most records in one batch.
pub const BATCH_RECORDS_MAX: u32 = 1_000_000;
/// Most records of one produce request that a partitioner or a serializer looks at.
pub const PLUGIN_BATCH_RECORDS_MAX: u32 = 100_000;
/// Records that requests of some size may have under way to partitioners, serializers and on to their
/// partitions, on the whole broker ...
pub const ROUTING_RECORDS_FEW: usize = 500_000;
/// ... and those of large ones.
pub const ROUTING_RECORDS_MANY: usize = 500_000;
/// Most headers on one record.
pub const RECORD_HEADERS_MAX: u32 = 10_000;
/// Most records of one produce request that a serializer may refuse while the others still go in.
pub const REFUSED_RECORDS_MAX: usize = 10_000;
/// Deepest nesting of a key or value that `fetch` decodes, so that the frame around it stays within the limit.
pub const DECODED_VALUE_DEPTH_MAX: usize = NESTING_DEPTH_MAX - 6;
/// Most bytes a compressed batch may unfold to; further ones are refused as a bomb.
pub const BATCH_DECOMPRESSED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes that batches may unfold to at once on the whole broker, those aside that unfold to little.
pub const UNFOLDING_BYTES_MAX: usize = 88 * 1024 * 1024;
/// Largest size ratio between an unfolded and a compressed batch body beyond the first MiB.
pub const BATCH_COMPRESSION_RATIO_MAX: usize = 10_000;

/// Messages a partition's mailbox holds before it answers busy.
pub const PARTITION_MAILBOX: usize = 1_024;
/// Messages the controller's mailbox holds before it answers busy.
pub const CONTROLLER_MAILBOX: usize = 1_024;
/// Changes of metadata that are under way at once, until they are carried out: each counts one, and one for each partition
/// that is made or removed; others wait for their turn.
pub const CHANGE_WORK_UNDER_WAY: u64 = 16;
/// Changes of metadata that one connection has under way at once; its others wait for them.
pub const CHANGES_PER_CONNECTION: usize = 2;
/// Those that are asked for while their connection has others under way; a further one is answered busy.
pub const CHANGES_WAITING_MAX: usize = 1_024;
/// Messages the broker actor's mailbox holds before it answers busy.
pub const BROKER_MAILBOX: usize = 1_024;
/// Messages an actor takes before it writes what they bring and looks at its timers.
pub const MESSAGES_PER_TURN: usize = 64;
/// Bytes that these messages may bring to be written.
pub const BYTES_PER_TURN: usize = 1024 * 1024;
/// Batches joined into one vectored write (two slices each, below the kernel's 1,024).
pub const BATCHES_PER_WRITE_MAX: usize = 256;

/// Bindings of a topic's plugin slots that are kept, ...
pub const BINDINGS_KEPT_MAX: usize = 100;
/// ... and what they may take in memory; what the slots run now is kept beyond that.
pub const BINDINGS_KEPT_BYTES_MAX: usize = 1024 * 1024;
/// Revisions of a deployed plugin that are kept, ...
pub const PLUGIN_REVISIONS_KEPT_MAX: usize = 100;
/// ... and what they may take in memory, modules aside; the newest is kept beyond that.
pub const PLUGIN_REVISIONS_KEPT_BYTES_MAX: usize = 1024 * 1024;
/// Longest text of a plugin's own that is handed on to a client, in bytes.
pub const PLUGIN_MESSAGE_BYTES_MAX: usize = 256;
/// Largest plugin module, in bytes.
pub const PLUGIN_MODULE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Functions of a plugin module, ...
pub const PLUGIN_MODULE_FUNCTIONS_MAX: u64 = 10_000;
/// ... bytes of their code, ...
pub const PLUGIN_MODULE_CODE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// ... bytes of one of them, ...
pub const PLUGIN_MODULE_FUNCTION_BYTES_MAX: u64 = 128 * 1024;
/// ... its locals, ...
pub const PLUGIN_MODULE_FUNCTION_LOCALS_MAX: u64 = 2_000;
/// ... its loops, each of which makes every other one more work, ...
pub const PLUGIN_MODULE_FUNCTION_LOOPS_MAX: u64 = 512;
/// ... loops of all of them, ...
pub const PLUGIN_MODULE_LOOPS_MAX: u64 = 10_000;
/// ... entries of tables, ...
pub const PLUGIN_MODULE_ELEMENTS_MAX: u64 = 10_000;
/// ... and types, imports, exports, globals, tables and pieces of data: what is above is not compiled.
pub const PLUGIN_MODULE_DEFINITIONS_MAX: u64 = 10_000;
/// Dry runs that a broker carries out or remembers; a further one is answered busy if none ends soon.
pub const DRY_RUNS_MAX: usize = 4;
/// Most keys, reasons or records that the report of a dry run shows.
pub const DRY_RUN_SAMPLE_MAX: u32 = 100;
/// Log lines a plugin may write per second before the rest is dropped and counted.
pub const PLUGIN_LOG_LINES_PER_SECOND: u32 = 10;
/// Log lines of a plugin that are kept to be read later; the oldest make room.
pub const PLUGIN_LOG_LINES_KEPT: usize = 1_000;
/// Traps of a plugin in one topic within [`PLUGIN_TRAP_WINDOW`] after which it is suspended there.
pub const PLUGIN_TRAPS_MAX: usize = 3;
/// Topics in which a plugin has trapped, or is suspended, that are known at once; the oldest makes room.
pub const PLUGIN_TRAPPING_TOPICS_MAX: usize = 1_000;
/// How long a trap of a plugin counts.
pub const PLUGIN_TRAP_WINDOW: Duration = Duration::from_secs(60);
/// Plugin instances of each kind that one thread keeps; the one used longest ago makes room.
pub const PLUGIN_INSTANCES_PER_THREAD_MAX: usize = 256;
/// Bytes of decoded records in answers of one connection that wait for its socket.
pub const ANSWER_BYTES_PER_CONNECTION: usize = 16 * 1024 * 1024;
/// Memory of answers that wait for sockets which take no more, 512 bytes for each beyond what is counted for it
/// alone, on the whole broker; nothing else draws on it.
pub const ANSWERS_TINY_BYTES_MAX: usize = 6 * 1024 * 1024;
/// Bytes of answers to clients that have shown that they read theirs, beyond those that all have in common; nothing
/// else draws on it.
pub const ANSWERS_OF_READERS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of small answers to clients that have read all others, on the whole broker; nothing else draws on it.
pub const ANSWERS_SMALL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of answers that wait for their sockets, on the whole broker.
pub const ANSWER_BYTES_TOTAL: usize = 40 * 1024 * 1024;
