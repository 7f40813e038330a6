"""Every bound of Wherry, with its reason. A bound anywhere else is a defect.

Units are in the names. What an operator may want to change is in the ``Wherry`` section of the
configuration; its default stands here.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# --- HTTP bodies ---------------------------------------------------------------------------
INSTANCE_BYTES: Final = 64 * GIB
"""One DICOM file. Larger than any whole-slide image seen; stops a declared terabyte at once."""

JSON_BODY_BYTES: Final = 4 * MIB
"""A JSON body of the REST API. 4 MiB hold 90,000 Orthanc identifiers."""

PUSH_MANIFEST_BYTES: Final = 32 * MIB
"""The JSON of ``POST /transfers/push``: about 110 bytes an instance and 100 a chunk."""

ZIP_BODY_BYTES: Final = 16 * GIB
"""An uploaded ZIP; it is spooled to disk, because its directory is at the end."""

ZIP_ENTRIES: Final = 20_000
"""Entries of an uploaded ZIP: a big study has 20,000 instances."""

ZIP_DIRECTORY_BYTES: Final = 16 * MIB
"""The directory at the end of an uploaded ZIP: 800 bytes an entry, most of it its name."""

INFLATE_RATIO: Final = 200
"""Output over input of any inflate, beyond ``INFLATE_FREE_BYTES``. DEFLATE reaches 1032; real
images stay below 20, an all-black mask below 200."""

INFLATE_FREE_BYTES: Final = 16 * MIB
"""Output below this is never called a bomb, whatever its ratio."""

SETTING_BYTES: Final = 64 * KIB
"""A setting that is changed while the server runs: a word, or a list of a few hundred UIDs."""

UID_PATTERNS: Final = 1_000
"""UIDs with wildcards in one list: a pass over a few hundred known UIDs for each."""

UID_PATTERN: Final = 128
"""Characters of a UID with wildcards; a UID has 64 (PS3.5 §9.1). Matching takes time by the power
of its asterisks."""

METADATA_BYTES: Final = 1 * MIB
"""One piece of metadata. Orthanc's manual advises to stay below 1 KiB; larger things are
attachments."""

METADATA_OF_RESOURCE: Final = 1_000
"""Pieces of metadata that users may set on one resource."""

METADATA_OF_RESOURCE_CHARACTERS: Final = 8 * MIB
"""... and all of them together: ``?expand`` shows them in one answer."""

LABEL_CHARACTERS: Final = 64
"""One label, as in Orthanc's manual."""

LABELS_OF_RESOURCE: Final = 1_000
"""Labels of one resource: they are part of each answer that describes it."""

LOGGED_CHARACTERS: Final = 256
"""Of a path in the log."""

IDENTIFIER_BYTES: Final = 4 * KIB
"""A DICOM identifier to look up: 64 characters by the standard, with room for what is real."""

EXPANDED_PAGE: Final = 500
"""Resources rendered at once in a list with ``?expand``: about 1 MiB of JSON."""

QUICK_RESOURCES: Final = 32
"""Resources that are read and rendered on the event loop: 0.2 ms. To hand them to a worker thread
takes half as long, and more when all threads are busy."""

REQUESTED_TAGS: Final = 256
"""Tags in ``requested-tags``: those outside of the index are read from a file of each resource."""

BULK_RESOURCES: Final = 50_000
"""Identifiers in the body of a bulk operation. Deletions are one transaction, which keeps other
writers waiting: about a second for so many instances."""

CHANGES_PAGE: Final = 10_000
"""Changes in one answer: about 2 MiB. Who wants more goes on from ``Last``."""

GZIP_MEMBERS: Final = 1_000
"""Members of one gzip body. Clients send one; each costs a copy of what follows it."""

URL_BYTES: Final = 32 * KIB
"""A request target; upstream pullers stay below 2,000 characters."""

BODY_CHUNK_BYTES: Final = 1 * MIB
"""Bytes of one body gathered on the event loop before a worker thread takes them."""

SOCKET_READ_BYTES: Final = 64 * KIB
"""Read from a connection at once while a head may be among it: a small request comes whole."""

LENT_BODY_BYTES: Final = 128 * KIB
"""A body of which so much is still to come is worth the hand-over of its socket to a thread."""

INCOMING_BUCKET_BYTES: Final = 4 * MIB
"""What a bucket that is being received holds at most: buffers of its body and of its files."""

TRANSFER_MEMORY_BYTES: Final = 256 * MIB
"""... and all of them together (``Wherry.TransferMemory``, MiB); others are told to come again."""

LENT_BODIES: Final = 8
"""Bodies that threads read so at once; others come by way of the event loop, so that slow senders
keep nobody waiting."""

BODY_FLUSH_S: Final = 5.0
"""A slow body is handed on at least this often, in whatever portion has come."""

MAPPED_AHEAD_BYTES: Final = 64 * MIB
"""A mapped file that is larger is not read ahead: the heads of a thousand fragments would bring a
megabyte each, which count as memory."""

DIRECT_BUFFERS: Final = 16
"""Files that are written around the page cache at once; more take the ordinary way."""

DIRECT_BUFFER_BYTES: Final = 1 * MIB
"""Size of a direct write."""

READ_CHUNK_BYTES: Final = 512 * KIB
"""Bytes read from storage at once when a file is served."""

CACHED_FILE_BYTES: Final = 1 * MIB
"""Largest file that is kept in memory after it was read: it is sent in one piece anyway."""

REQUEST_IDLE_S: Final = 60.0
"""Longest silence inside a request body."""

REQUEST_LEAST_BYTES_PER_S: Final = 1 * KIB
"""Rate of a request body after its first ``REQUEST_IDLE_S``: slower than any line that a DICOM file
is sent over; else a byte a minute would hold a slot for ever."""

LAST_REQUEST_S: Final = 0.1
"""A stopping server waits so long for the requests of connections that it has just let in."""

LINGER_S: Final = 2.0
"""A sender that is refused in the middle of its body is read for this long, so that it sees the
answer before its connection is closed."""

LINGER_BYTES: Final = 256 * MIB
"""... and for at most this many bytes."""

REQUEST_HEAD_BYTES: Final = 128 * KIB
"""Request line and headers together: four times the longest URL."""

REQUEST_HEAD_S: Final = 30.0
"""A connection that has not sent a whole request head by then is closed."""

COMPRESSED_BYTES: Final = 2 * KIB
"""Answers that are shorter are never compressed (as in Orthanc): they fit a packet or two."""

CONNECTIONS: Final = 4_000
"""HTTP connections served at once; those beyond it get 503, and beyond twice as many nothing. Each
costs some 10 KiB and a descriptor, of which the process may have fewer."""

ANSWER_IDLE_S: Final = 60.0
"""A client must take ``ANSWER_LEAST_BYTES`` of an answer that waits for it within this time."""

ANSWER_LEAST_BYTES: Final = 64 * KIB
"""About 1 KiB a second: slower than any line that a DICOM file is sent over."""

# --- Sealed files -----------------------------------------------------------------------------
SEALED_CHUNK_BYTES: Final = 128 * KIB
"""Plain bytes that are sealed together: a range costs what it touches of them, and a file that is
written holds two. A small instance is one (docs/decisions/encryption.md)."""

KEY_RING_BYTES: Final = 1 * MIB
"""The document with the keys that wrap keys: 200 bytes for each, and one more a year."""

KEY_RING_LOOK_S: Final = 60.0
"""Between two looks whether there is a newer key for new files."""

KEY_RING_MISS_S: Final = 1.0
"""Between two looks for a key that nobody knows: a damaged file asks for one, too."""

# --- Compressed attachments ------------------------------------------------------------------
PACKED_IN_MEMORY_BYTES: Final = 2 * MIB
"""Compressed bytes of a new file that are held until its end, when the size is known that stands
before them; those of a larger one go to its file at once."""

STORED_BLOCK_BYTES: Final = 1 * MIB
"""Plain bytes that are compressed together with Zstandard, and unpacked to read one of them."""

PARKED_STREAMS: Final = 16
"""Places in the middle of compressed files from which the next reader can go on; each holds up
to 0.6 MiB."""

UNPACKED_IN_MEMORY_BYTES: Final = 4 * MIB
"""A compressed file of this size is looked at in memory, a larger one in a nameless file."""

PASSWORD_HASH_BYTES: Final = 256 * MIB
"""Memory that one hash of a password may take (scrypt): it comes from the configuration."""

PASSWORD_HASH_ITERATIONS: Final = 10_000_000
"""Iterations of one hash of a password (PBKDF2): about 3 s."""

PASSWORDS_REMEMBERED: Final = 1_000
"""Credentials whose hash was computed, right or wrong, that are known again without."""

PASSWORDS_WAITING: Final = 64
"""Requests that wait for the hash of a password: about six seconds. Others get 503."""

# --- Object storage --------------------------------------------------------------------------
OBJECT_HEAD_BYTES: Final = 1 * MIB
"""Read of an object when it is opened: the whole of a usual instance, so that it costs one request.
What is written of a new one stays in memory up to here."""

OBJECT_PIECE_BYTES: Final = 4 * MIB
"""Read ahead of an object that is read from one end to the other: at 20 ms a request, 200 MB/s with
one of them under way."""

OBJECT_LEAST_BYTES: Final = 128 * KIB
"""Read at once of an object that is read here and there."""

OBJECT_PARTS: Final = 8
"""Parts of large objects that are on their way at once, of all uploads together: 40 MiB."""

OBJECT_RETRY_S: Final = 20.0
"""A request to an object storage that fails is tried again for at most so long: who waits for the
answer has timeouts of its own."""

OBJECT_SILENCE_S: Final = 120
"""Longest silence of an object storage, while it is sent a part too."""

OBJECT_REST_S: Final = 2.0
"""After a failure, an object storage is left alone for so long: then one request finds out whether
it is back, and until it does, others are refused at once instead of waiting in a row."""

OBJECT_WORKER_THREADS: Final = 16
"""Threads for requests, at least, when files are far away: they wait instead of working."""

FILES_AHEAD: Final = 24
"""Files of one archive, ZIP or bucket that are read or written at once where each is a request: at
20 ms, 1,200 a second. Each holds up to ``OBJECT_HEAD_BYTES``."""

FILES_AHEAD_IN_ALL: Final = 64
"""Files that all streams of a process read ahead together, and the threads for it: 64 MiB. One that
finds no place reads one file at a time."""

REMOVALS: Final = 8
"""Files that the janitor removes at once where each is a request."""

REMOVALS_AGAIN_S: Final = 5.0
"""The janitor tries again after so long what a storage area out of reach has kept it from."""

# --- DICOM ---------------------------------------------------------------------------------
DICOM_HEADER_BYTES: Final = 64 * MIB
"""Bytes of a *deflated* data set inflated to reach its pixel data."""

DICOM_ELEMENTS: Final = 2_000_000
"""Elements seen in one header scan, nested ones included: an enhanced multi-frame object of
20,000 frames has about 1.4 million."""

DICOM_NESTING: Final = 32
"""Depth of sequences. Three native parsers crash on a deeply nested file; the deepest legal
structured report seen has 12."""

DICOM_VALUE_BYTES: Final = 64 * KIB
"""A main DICOM tag longer than this is refused."""

DICOM_JSON_ELEMENTS: Final = 300_000
"""Elements of one file shown as JSON: about 150 MB of Python objects. An enhanced multi-frame
object of 2,000 frames has 140,000."""

DICOM_JSON_VALUE_BYTES: Final = 4 * MIB
"""Longest value shown as JSON when the usual 256 bytes are lifted (``?ignore-length``)."""

DICOM_FRAMES: Final = 200_000
"""Frames of one instance, and of one series, that are listed: the list of so many has 20 MB of
JSON. Whole-slide images have 100,000."""

SECRET_CHARACTERS: Final = 24
"""Least length of a secret in the configuration: 24 random hexadecimal digits are 96 bits."""

EDIT_RULES: Final = 1_000
"""Attributes that one request replaces, removes or keeps: those with a path are compared with each
item of their sequence."""

EDIT_INFLATED_BYTES: Final = 256 * MIB
"""A deflated data set that is edited is held in memory, once inflated. Structured reports, which
are what is deflated, have a few MiB."""


CREATED_INSTANCES: Final = 4_096
"""Instances of a series that is created by one request: a CT of a whole body has 2,000 slices."""

CREATED_VALUES_BYTES: Final = 32 * MIB
"""Values of tags that are given as long data URIs: they are in memory while the file is written."""

VIDEO_PIECES: Final = 1_000_000
"""Boxes or packets of a video that are looked at, and entries of the tables in it: a day at 30
frames a second has 2.6 million frames, in tables of a few entries."""

FRAME_BYTES: Final = 512 * MIB
"""One decoded frame, of which a worker holds three copies. The largest of mammograms and slides
have 100 MiB; 46341² pixels pass every bound that is written with 32 bits."""

TRANSCODED_BYTES: Final = 64 * GIB
"""All decoded frames of a file that is compressed anew: a worker makes ten megabytes a second at
worst. A whole slide has 50 GiB; a megabyte of empty code streams may declare a thousand times that.
"""

CODED_FRAME_BYTES: Final = 512 * MIB
"""One compressed frame: no larger than what it decodes to may be."""

DICOM_FALLBACK_BYTES: Final = 2 * MIB
"""Bytes that pydicom reads of a file which our own scan cannot read: it takes about 0.3 s for
them. Odd files are old and small."""

# --- Worklists -----------------------------------------------------------------------------
WORKLISTS: Final = 10_000
"""Items that REST may declare, and files of the folder that are looked at: each query for a
worklist looks at all of them."""

WORKLIST_BYTES: Final = 64 * KIB
"""One item as it lies in the index: ten scheduled steps with their codes have 5 KiB."""

WORKLIST_FILE_BYTES: Final = 1 * MIB
"""One file of the folder."""

WORKLIST_FOLDER_BYTES: Final = 64 * MIB
"""All files of the folder that are looked at, ..."""

WORKLIST_FOLDER_ELEMENTS: Final = 500_000
"""... and their elements: fifty for each item, 400 bytes of memory each."""

WORKLISTS_AT_ONCE: Final = 200
"""Items read, matched and written in one turn of a worker thread, and in one page of their list."""

WORKLIST_STEPS: Final = 100
"""Scheduled steps of one item: each is an answer of its own."""

# --- DICOMDIR ------------------------------------------------------------------------------
DICOM_UID_BYTES: Final = 64
"""Longest UID that a directory of a medium names (PS3.5 §6.2): readers have room for no more."""

DICOMDIR_VALUE_BYTES: Final = 1 * KIB
"""Longest text in a directory: a name of three groups of 64 characters has 770 bytes in UTF-8."""

DICOMDIR_SEQUENCE_BYTES: Final = 64 * KIB - 2
"""Longest sequence that a directory repeats of one file: a presentation state of 500 images, and no
value in it that is too long for a length of 16 bits."""

DICOMDIR_BYTES: Final = 256 * MIB
"""One directory, held in memory until it is written: about a million images."""

# --- Transfers -----------------------------------------------------------------------------
TRANSFER_INSTANCES: Final = 100_000
"""Instances one push may declare (``Wherry.MaximumTransferInstances``)."""

TRANSFER_BYTES: Final = 1024 * GIB
"""Bytes one push may declare (``Wherry.MaximumTransferSize``, MiB); the free space of the disk
is checked beside it."""

BUCKET_BYTES: Final = 1 * GIB
"""One bucket, uncompressed. Stock senders stay below 2 × BucketSize."""

TRANSFER_IDLE_S: Final = 24 * 3600
"""A push that nobody has touched for this long is discarded."""

CHUNK_IDS: Final = 2_000
"""Instances named in one ``GET /transfers/chunks``."""

PUSH_MANIFEST_VALUES: Final = 1_500_000
"""Commas and brackets in the JSON of ``POST /transfers/push``: what it costs to parse is known
before. Three for each instance, three for each chunk, two for each bucket, of a full quota."""

PUSH_ID_CHARACTERS: Final = 64
"""An identifier or digest that a push declares: Orthanc's have 44 and 32."""

EXTRAS_BYTES: Final = 32 * MIB
"""Metadata and labels that travel with one transfer, as one document: 1 KiB for each of 30,000
instances. What is longer belongs into attachments."""

EXTRAS_ATTACHMENTS: Final = 100_000
"""Attachments that travel with one transfer: a row of the index and a request for each."""

FOLLOWED_PIECE_BYTES: Final = 256 * KIB
"""What is read at once of a part that came too early for the digest of its instance."""

CODEC_BLOCK_BYTES: Final = 1 * MIB
"""A block of a packed bucket between two Wherry: so much is held to unpack it."""

TUNED_BUCKETS: Final = 1
TUNED_S: Final = 0.2
"""A transfer measures its pace over so many buckets for each request that is under way at once, and
so much time."""

TUNED_GAIN: Final = 1.05
"""What another setting must bring to be kept: less is noise."""

TUNED_REST: Final = 20
"""Measurements for which the settings stay when no step was better."""

TRANSFER_THREADS: Final = 16
"""Most requests of one transfer at once, whatever its pace: each may hold a packed bucket."""

PACKED_READ_BYTES: Final = 256 * KIB
"""What is read at once of a compressed bucket."""

VERIFY_WITH_BUCKET_BYTES: Final = 4 * GIB
"""An instance in several buckets that is larger is verified by the commit, not by the request
that brings its last bucket: senders wait a minute for a bucket, ten for a commit."""

TRANSFER_SLOT_IDLE_S: Final = 900
"""When all slots are taken, an open push that nobody has touched for this long counts as dead:
a live sender is never silent so long, because running requests count as touches."""

MANIFEST_PORTION: Final = 1_000
"""Rows of an ended transfer that are removed at once: 20 ms."""

LATE_FILES_S: Final = 600
"""So long after the death of a process an object may still appear that it was sending: a store may
take its time."""

TRANSFER_GRACE_S: Final = 600
"""After the end of a transfer its names stay journaled this long, because a request in another
process may still make a file."""

TRANSFER_MEMORY_S: Final = 7 * 24 * 3600
"""How long it is remembered that a transfer was committed, so that a second commit is answered
like the first."""

TRANSFER_BUSY_S: Final = 2
"""``Retry-After`` when all slots for pushes are taken."""

TRANSFER_SOON_S: Final = 1
"""... for those who are next."""

TRANSFER_TURN_S: Final = 5.0
"""A free slot is kept for those who wait longest and asked not longer ago than this: a stock sender
asks every second, a Wherry after ``Retry-After``."""

TRANSFER_TURNS: Final = 10_000
"""Senders whose place is kept; more of them wait without one."""

TRANSFER_TURN_MEMORY_S: Final = 600.0
"""How long a sender that waits for a slot keeps its place without asking; a Wherry gives up after
``PEER_BUSY_S``."""

PEERS: Final = 1_000
"""Peers that may be declared over REST; they are one document of the index."""

PEER_NAME_CHARACTERS: Final = 128
"""Length of the name of a peer."""

PEER_ANSWER_BYTES: Final = 1 * MIB
"""An answer of a peer that is small by nature; the list of a lookup may have
``PUSH_MANIFEST_BYTES``."""

PEER_ERROR_CHARACTERS: Final = 500
"""Words of a peer that are kept in an error: a cause, not a dump."""

PEER_RETRIES: Final = 3
"""Extra attempts of a request to a peer after a broken connection or a 5xx, whatever
``MaxHttpRetries`` says: a keep-alive race or a moment of trouble must not cost a study."""

PEER_RETRY_S: Final = 0.2
"""Pause before the second attempt; doubled each time."""

PEER_RETRY_LONGEST_S: Final = 10.0
"""Longest pause between two attempts."""

PEER_BUSY_S: Final = 600.0
"""Longest wait for a peer that answers 503 again and again: its slots are taken."""

ASSOCIATE_BYTES: Final = 1 * MIB
"""A PDU that makes or ends an association: 128 presentation contexts with a hundred transfer
syntaxes each have less."""

WIRE_TEXT_BYTES: Final = 128
"""A name in such a PDU: a UID has 64."""

COMMAND_BYTES: Final = 64 * KIB
"""The command of a DIMSE message. The longest one lists the tags that a client wants (N-GET)."""

QUERY_BYTES: Final = 2 * MIB
"""The data set of a message that is no instance: a query, an answer, a list of what is to be
committed. A report of ``COMMITMENT_INSTANCES`` failures with the longest UIDs has 1.7 MB."""

PDU_SENT_BYTES: Final = 128 * KIB
"""A P-DATA-TF that is sent, whatever more the other end would take."""

PDU_LEAST_BYTES: Final = 256
"""What the other end must take at once: below it, heads would be most of what is sent."""

PRESENTATION_CONTEXTS: Final = 128
"""Of one association: their numbers are odd and have one byte (PS3.8 §7.1.1.13)."""

ASSOCIATIONS: Final = 1_000
"""Associations that others have open with this server. Each costs some 10 KiB, and up to two pieces
of an instance while it sends one."""

ASSOCIATIONS_REJECTED: Final = 200
"""Beyond them: those that are told so; the next ones are cut."""

ASSOCIATE_S: Final = 30.0
"""From a connection to its request for an association (the ARTIM timer of PS3.8 §9.1.5)."""

ASSOCIATION_READ_BYTES: Final = 256 * KIB
"""Read at once from a connection; the buffer is shared by all."""

MOVES: Final = 4
"""C-MOVEs that send at once, in each process; more of them wait."""

MOVE_LOOK_S: Final = 0.5
"""Between two looks at how far one is, and its answers that say so."""

FAILED_UIDS: Final = 100
"""SOP instances that the last answer to a C-GET or C-MOVE lists as failed."""

LAST_WORD_S: Final = 2.0
"""For the other end of an association to close the connection, after all was said."""

LENT_ASSOCIATIONS: Final = 8
"""Associations whose C-STOREs a thread of their own reads; each has a buffer and a piece."""

LENT_WAIT_S: Final = 0.1
"""A caller that sends nothing for so long is the event loop's again."""

LENT_S: Final = 2.0
"""An instance that takes longer to come is the event loop's."""

DIMSE_OPERATIONS: Final = 16
"""Requests of one association under way. One is what is agreed on; some do not wait."""

ASSOCIATION_LOOK_S: Final = 0.2
"""Between two looks whether somebody wants an operation on an association to end, while the other
end is silent."""

CANCEL_S: Final = 5.0
"""For the other end of an association to obey a C-CANCEL; it is aborted then."""

QUERY_ANSWERS: Final = 50_000
"""Answers to one query: every study of a large hospital's year would be more, and nobody reads
that. Who wants more asks for a shorter time."""

QUERY_ANSWERS_BYTES: Final = 32 * MIB
"""... and all of them together, as they are kept. An answer has about 500 bytes."""

FOUND_ANSWERS: Final = 5_000
"""Answers that are not kept, but shown at once: of worklists, and of the old ways to ask."""

FOUND_BYTES: Final = 8 * MIB
"""... and all of them together."""

QUERY_PORTION_BYTES: Final = 512 * KIB
"""Answers held in memory before they go to the index, while others still come."""

QUERY_S: Final = 900.0
"""From a C-FIND to its last answer, however many come in between: a worker thread waits for it."""

QUERIES_AT_ONCE: Final = 16
"""Modalities that are asked at the same moment, one thread each; further clients wait."""

QUERIES_PAGE: Final = 500
"""Answers, or queries, that are read and shown at once: about 1 MiB of JSON."""

QUERY_TAGS: Final = 1_000
"""Keys of one query, those in sequences counted."""

STUDIES_LOOKED_AT: Final = 1_000
"""Of a patient, to know which SOP classes a C-GET will bring."""

RETRIEVED_RESOURCES: Final = 10_000
"""Resources that one job retrieves: their names are part of its content."""

RETRIEVED_TOLD: Final = 1_000
"""Of these, those of which the content tells how it went."""

RETRIEVED_INSTANCES_TOLD: Final = 10_000
"""Instances that the content of such a job names, of all that it brought."""

FAILED_INSTANCES_TOLD: Final = 10
"""Instances that a modality could not send, as an error names them."""

QUERY_USED_S: Final = 10.0
"""A query that was used so short a time ago is not noted as used again: that would be a durable
change for each of its answers that is looked at."""

LEFTOVER_MESSAGES: Final = 1_000
"""What the other end may still say after it was told that the association is over."""

ERROR_COMMENT_CHARACTERS: Final = 64
"""Of an answer over DIMSE: the VR of (0000,0902) is LO."""

COMMITMENT_INSTANCES: Final = 10_000
"""Instances of one storage commitment: the largest studies have half as many."""

COMMITMENT_STEP_INSTANCES: Final = 100
COMMITMENT_STEP_BYTES: Final = 64 * MIB
"""What was looked at is noted after so much: so much is looked at again after a crash."""

COMMITMENT_FRESH_S: Final = 3_600.0
"""Instances that were looked at longer ago are looked at again before they are reported: whoever
is told may delete its own."""

COMMITMENT_REPORT_S: Final = 60
"""Longest silence of a modality that is told a report, when the configuration has no bound: nobody
waits for the job, and a worker that hangs is lost."""

COMMITMENT_LINGER_S: Final = 0.3
"""After a modality was asked for commitment, how long it may begin to report over the same
association: longer than a lookup takes, short for whoever waits."""

MODALITIES: Final = 1_000
"""Modalities that REST may declare."""

STAGE_LOOK_S: Final = 1.0
"""Between two looks at how far a peer is with a commit, and the longest of them."""

PEER_IDLE_CONNECTION_S: Final = 30.0
"""A connection to a peer that was idle for longer is not used again."""

PEER_LEAST_BYTES_PER_S: Final = 1 * KIB
"""Rate of an answer of a peer, after its first ``HttpTimeout``: slower than any line that a DICOM
file is sent over."""

PEER_HEAD_BYTES: Final = 256 * KIB
"""What a peer's answer may have around its body: an Orthanc sends 300 bytes of headers."""

PEER_PROBES: Final = 128
"""Peers asked at once, in one process, whether they have the transfers accelerator: a thread for
each, most of which wait."""

PEER_PROBE_SPARE_S: Final = 1.0
"""Beyond the timeouts of its questions, before a peer is given up that does not even time out."""

PEER_VERSION_CHARACTERS: Final = 64
"""Of the version that a peer says it has."""

SENT_RESOURCES: Final = 100_000
"""Resources named in one order to send them to a peer or modality."""

PEER_STORE_CONNECTIONS: Final = 4
"""Connections over which one ``/peers/{}/store`` sends at once: a receiver's commits are shared
by what arrives together."""

MODALITY_STORE_ASSOCIATIONS: Final = 4
"""Associations over which one ``/modalities/{}/store`` sends at once, if the other end takes so
many (``Wherry.StoreAssociations``)."""

MODALITY_STORE_SHARE: Final = 20
MODALITY_STORE_SHARE_BYTES: Final = 32 * MIB
"""One more association is worth its round trips when there are so many instances for each of them,
or so many bytes."""

READ_WHOLE_BYTES: Final = 128 * KIB
"""An instance up to this size is read into memory to be sent: a tenth faster than to map it."""

IDLE_ASSOCIATIONS: Final = 16
"""Associations that are kept open for a moment."""

IDLE_ASSOCIATIONS_OF_ONE: Final = 4
"""... to one and the same modality."""

MODALITY_UNREACHABLE_S: Final = 60.0
"""When a permissive job could not get an association for so long, it does not ask again for each of
the instances that are left: each may cost a timeout."""

STORE_SAVED: Final = 50
"""Instances between two checkpoints of ``/peers/{}/store`` and ``/modalities/{}/store``, or a
hundredth of all: so many are sent twice after a crash, twice as many to a modality."""

STORE_TOLD: Final = 100
"""Instances that a permissive one names with the reason of their failure."""

RECEIPT_NAMED: Final = 100
"""Instances that a receipt names because other bytes of them were here before."""

RECEIPTS_PAGE: Final = 1_000
"""Receipts in one answer: about 1 MB."""

PEER_NAME_TOLD: Final = 128
"""Of the name that a sender gives itself."""

SEND_BYTES: Final = 256 * KIB
"""Bytes of a body that are given to a connection at once."""

THROTTLED_BYTES: Final = 64 * KIB
"""... when there is a limit to its rate: a thousandth of a second at 500 Mbit/s."""

CALLER_LOOK_S: Final = 1.0
"""Between two looks whether a client still waits for what another machine is asked."""

CLOSED_LOOK_S: Final = 5.0
"""How often is looked whether the hours without transfers are over."""

PAUSED_BUCKET_S: Final = 600.0
PAUSED_BUCKETS: Final = 32
"""So long, and so many of, buckets that were cut off in the middle may go on where they stopped;
each holds up to a MiB."""

SIP_BYTES: Final = 16 * KIB
"""What is read at once of a bucket whose connection broke before."""

LET_GO_S: Final = 5.0
"""How long a sender that comes back waits for its old connection to be given up."""

BUCKET_STORES: Final = 8
"""Files, or handfuls of small ones, of one bucket that are on their way to where files are not
shared; each holds a MiB."""

BUCKET_BUFFER_BYTES: Final = 8 * MIB
"""Compressed bytes of one bucket that a sender gathers before it sends them; larger buckets are
sent while they are compressed."""

# --- Import and replication ----------------------------------------------------------------
REPLICATION_CONNECTIONS: Final = 4
"""Connections of ``wherry import`` and ``wherry replicate`` to one server, unless said."""

REPLICATION_CONNECTIONS_MOST: Final = 64
"""... and as many as one may ask for."""

REPLICATION_TIMEOUT_S: Final = 120
"""Longest silence of a server that is filled: an old Orthanc syncs its database for long."""

REPLICATION_LIST_BYTES: Final = 256 * MIB
"""A list of a server's studies, or of one study's instances: old servers expand each instance to
1 KiB, and a big study has 20,000."""

REPORT_REASONS: Final = 40
"""Different reasons that a report tells apart."""

REPORT_EXAMPLES: Final = 3
"""Names that a report gives with each reason."""

ADOPTION_SAMPLE: Final = 100
"""Objects that are asked for before an Orthanc is adopted: a mistaken bucket shows in a few."""

ADOPTION_SAMPLE_RETRIES: Final = 2
"""Of each of these questions: somebody sits in front of it."""

ADOPTION_SAMPLE_TIMEOUT_S: Final = 20
"""Longest wait for each of them."""

# --- wherry jobs ---------------------------------------------------------------------------
JOBS_TIMEOUT_S: Final = 30.0
"""Longest silence of a server that is asked for its jobs: somebody sits in front of it."""

JOBS_POLL_S: Final = 0.5
"""Pause between two looks at jobs that are followed: as often as Wherry reports their progress."""

JOBS_POLL_LONGEST_S: Final = 10.0
"""... and its longest, for servers that need long for an answer."""

JOBS_SILENCE_S: Final = 120.0
"""So long a server that is followed may be out of reach: a restart, with a big index to open."""

JOB_PREFIX_CHARACTERS: Final = 4
"""The beginning of an identifier that may stand for a job: fewer are soon ambiguous."""

# --- Archives ------------------------------------------------------------------------------
ARCHIVE_INSTANCES: Final = 100_000
"""Instances of one archive: their names and digests are in memory while it is made."""

ARCHIVE_STREAMS: Final = 16
"""Archives that are made while they are sent, at once; others get 503."""

ARCHIVE_STEP_S: Final = 1.0
ARCHIVE_STEP_BYTES: Final = 64 * MIB
"""What a job has added to an archive is synced and noted that often: so much work is done again
after a crash, or the file at hand if it is larger."""

# --- Editing -------------------------------------------------------------------------------
EDITED_INSTANCES: Final = 50_000
"""Instances that one job edits: what the index will know of them is in memory until it is written,
3 KiB each."""

EDITED_TOGETHER: Final = 32
EDITED_TOGETHER_BYTES: Final = 16 * MIB
"""Instances that are edited, then synced together: a sync of many files takes little more than
that of one."""

EDITED_GROUPS: Final = 2
"""Groups that one job has under way at once: one is edited while the other is synced."""

EDITED_TOGETHER_FAR: Final = 4
"""... where files are far away: more of such groups are under way at once (``FILES_AHEAD``)."""

EDITED_STEP_S: Final = 1.0
EDITED_STEP_BYTES: Final = 64 * MIB
"""What a job has edited is noted that often: so much is done again after a crash."""

# --- Jobs and processes --------------------------------------------------------------------
LEASE_S: Final = 15.0
"""A process that has not renewed its lease for this long on another host counts as dead."""

HEARTBEAT_S: Final = 3.0
"""Interval of lease renewal: five chances before the lease ends."""

PENDING_JOBS: Final = 10_000
"""Jobs that may wait at once; a client that submits without end is told to come back later."""

JOB_SUBMIT_WAIT_S: Final = 4.0
"""How long a submission waits for room among the pending jobs: some clients give up after 5 s."""

JOB_SUBMITTERS: Final = 100
"""Submissions that wait so at once: each holds a body of up to ``JSON_BODY_BYTES``."""

JOBS_FULL_S: Final = 5
"""``Retry-After`` when too many jobs are waiting."""

JOBS_LISTED: Final = 10_000
"""Jobs in one list that asks for the newest."""

JOB_EVENTS: Final = 10_000
"""Changes of state that are remembered: who follows them may be away for as many."""

JOB_EVENTS_PAGE: Final = 500
"""Events that are read and sent at once."""

JOB_EVENT_STREAMS: Final = 64
"""Clients that follow the events of jobs at once, in one process: each asks twice a second."""

JOB_EVENT_SILENCE_S: Final = 15.0
"""A stream of events that has nothing to say says so after this time, for what lies between."""

JOB_ERROR_CHARACTERS: Final = 2_000
"""Details of a failed job that are kept: a cause, not a dump."""

JOB_POLL_S: Final = 1.0
"""Interval at which a process looks in the index for what other processes want of its jobs."""

JOB_REPORT_S: Final = 0.5
"""Least time between two writes of reported progress: a commit costs a sync of the disk."""

JOB_STOP_S: Final = 30.0
"""Longest wait for running jobs when the engine stops. A job that has not obeyed by then is
taken up elsewhere, as if the process had died."""

JOB_UNDER_WAY_S: Final = 2.0
"""What a job that is stopped or paused has under way with a peer may take so long to come to its
end; then it is cut off, and done again later."""

JOBS_TRIMMED: Final = 1_000
"""Jobs removed from history in one transaction, when ``JobsHistorySize`` was lowered."""

# --- Webhooks ------------------------------------------------------------------------------
WEBHOOKS: Final = 32
"""Programs that are told: each costs a question to the index twice a second."""

WEBHOOK_EVENTS: Final = 100
"""Events of one delivery: about 30 KiB of JSON, which lie in the index until they are taken."""

WEBHOOK_POLL_S: Final = 0.5
"""How often a process looks for something to tell."""

WEBHOOK_WORKERS: Final = 4
"""Deliveries at once in one process: an endpoint that hangs holds one up until its timeout."""

WEBHOOK_TIMEOUT_S: Final = 10
"""Longest silence of an endpoint, when nothing else is configured: it should take what it is told
down and answer, and work afterwards."""

WEBHOOK_REST_S: Final = 300
"""After all attempts of a job failed, the next begin so much later: an endpoint that comes back
after a day hears of it within minutes."""

WEBHOOK_ANSWER_BYTES: Final = 64 * KIB
"""Of the body of an answer that are read, to keep the connection; they say nothing to us."""

WEBHOOK_SECRET_BYTES: Final = 24
"""Least length of a secret, as the Standard Webhooks specification has it."""

# --- Answers that are remembered -----------------------------------------------------------
REMEMBERED_BYTES: Final = 16 * MIB
"""Answers that are given again while the index does not change."""

REMEMBERED_ANSWER_BYTES: Final = 1 * MIB
"""The largest of them."""

REMEMBERED_OVERHEAD_BYTES: Final = 1 * KIB
"""What one costs beside its body, roughly: so it bounds their number too."""

# --- Staging -------------------------------------------------------------------------------
STAGING_BLOCK_FILES: Final = 1_000
"""File names taken from one journaled block. They share a folder, so that a folder is made and
synced once for many files."""

COMMIT_INSTANCES: Final = 512
"""Single ingests that share one commit at most: bounds the wait of the first of them."""

SMALL_FILE_BYTES: Final = 128 * KIB
"""Largest file that goes through the log of small files: a larger one is cheaper by itself."""

SMALL_RECORD_BYTES: Final = 1 * MIB
"""One record of that log: what its buffer holds, and what a sync may have to wait for."""

SMALL_ENTRY_BYTES: Final = 192
"""More than a file costs in a record beside its bytes: its entry, and what encryption adds."""

SMALL_NOTE_BYTES: Final = 512
"""What is noted beside a file in that log: who brought it, and when."""

SMALL_FILES: Final = 32
"""Small instances that are stored in one go."""

SMALL_LOG_BYTES: Final = 4 * MIB
SMALL_LOG_MOST_BYTES: Final = 64 * MIB
"""Each of the two halves of the log, at first and after growing: each time one is full the file
system is synced, and a start after a crash reads both."""

MOVED_AT_ONCE: Final = 8
"""Files that one job moves between the stores at once: an object store answers after 20 ms or more,
and each has pieces of ``READ_CHUNK_BYTES`` in memory."""

MOVED_TOGETHER: Final = 16
"""Resources whose files are announced and made to count in one transaction: so many are moved
again after a crash, for each of ``MOVED_AT_ONCE``."""

MOVED_PATIENCE_S: Final = 120.0
"""How long a file is waited for that somebody else moves, or whose earlier copy has to go first."""

MOVED_LOOK_S: Final = 0.05
"""... and how often it is looked whether that is over."""

POLICY_STUDIES: Final = 200
"""Studies that one job of the storage policy moves: the next one is made of what is known then."""

POLICY_JOBS: Final = 2
"""Jobs of the storage policy at once: what goes does not keep waiting what comes."""

POLICY_CHANGES: Final = 500
"""New studies that are looked at together for what their patients have elsewhere."""

NOTED_READS: Final = 20_000
"""Files whose reading is noted between two heartbeats: 3 MB of names, half a second to look up. Of
a study that is read while so many others are, the next reading counts."""

FREE_DISK_BYTES: Final = 64 * MIB
"""Space of the storage disk that uploads leave free, so that the index can still be written."""

RECONSTRUCTED_AT_ONCE: Final = 200
"""Instances described anew in one transaction: others that write wait for it."""

EXTRA_MAIN_TAGS: Final = 100
"""Tags of one level in ``ExtraMainDicomTags``: each makes every row of its level longer."""

# --- Configuration -------------------------------------------------------------------------
CONFIGURATION_FILE_BYTES: Final = 4 * MIB
"""One configuration file: 20,000 peers and modalities; stops a disk image given by mistake."""

CONFIGURATION_FILES: Final = 256
"""Files of all configuration folders together."""

# --- Index ---------------------------------------------------------------------------------
INDEX_QUEUE_WORKS: Final = 10_000
"""Works that wait for the index writer; further ones are told to try later."""

INDEX_GROUP_WORKS: Final = 256
"""Works that share one commit: bounds the wait of the first, and what is repeated after a
failure."""

INDEX_READERS: Final = 16
"""Read connections of one process, each with its page cache or its server process."""

INDEX_WAIT_S: Final = 30.0
"""Wait for a read connection, or for the write lock that another process holds."""

DIGESTED_AT_ONCE: Final = 64
"""Files whose digests are taken anew before they are written down: as many are read again when a
long question is asked once more."""

DIGESTED_FOR_A_QUESTION_BYTES: Final = 1 * GIB
"""What is read to answer whether instances are held here with the digest that is told: 2 s."""

INDEX_RETRIES: Final = 5
"""Attempts of one write when the database says that trying again may help."""

INDEX_RETRY_S: Final = 0.1
"""Pause before the second attempt; doubled each time, 1.5 s in all."""

INDEX_ROWS_AT_ONCE: Final = 1_000
"""Rows held in memory while a long result is filtered or deleted piece by piece."""

SEARCH_ROWS: Final = 100_000
"""Row numbers of candidates held while a search checks them piece by piece: about 9 MB."""

SEARCH_FILES: Final = 1_000_000
"""Stored files that one search may look into, for tags that the index does not hold: minutes of
work, a tenth of a millisecond each while the disk is not asked. Who searches more should declare
the tag in ``ExtraMainDicomTags``."""

SEARCH_FILES_AT_ONCE: Final = 32
"""Files that one turn of a worker thread looks into: about a tenth of a second, so that others
get their turn, and a client that has gone is noticed."""

SEARCHES_IN_FILES: Final = 2
"""Searches that look into files at the same moment; further ones wait for their turn without
occupying a thread."""

SEARCH_QUICK_CHARACTERS: Final = 1_024
"""Searched texts of one search together, up to which it may be planned, and run when it finds few
rows by a key, on the event loop: 15 UIDs, 0.2 ms."""

SEARCH_TERMS: Final = 500
"""Labels, tags, or metadata of one search. SQLite refuses expressions of depth 1,000."""

SEARCH_ORDERS: Final = 16
"""Keys to sort the results of one search by."""

SEARCH_TEXT_CHARACTERS: Final = 16_384
"""One searched value: 250 UIDs in a list. Bounds the patterns that the database compiles."""

SEARCH_ALTERNATIVES: Final = 1_000
"""Alternatives (separated by a backslash) of one searched value."""

SEARCH_PATTERNS: Final = 100
"""Alternatives with wildcards or ranges among them. SQLite refuses expressions of depth 1,000."""

SEARCH_WILDCARD_CHARACTERS: Final = 1_024
"""One alternative with wildcards. SQLite refuses patterns beyond 50,000 bytes, and matching takes
time by the product of the lengths."""

ANSWER_VALUE_BYTES: Final = 64 * KIB
"""A value, or a sequence with all that is in it, that an answer to a C-FIND takes from a stored
file: a query for what is longer (pixels, functional groups of each frame) was a mistake."""

FIND_ANSWERS_AT_ONCE: Final = 200
"""Answers to a C-FIND that are made in one turn of a worker thread: about 5 ms, and so many more
are made after somebody cancelled."""

FIND_ANSWERS_SENT: Final = 16
"""... and that are sent before the event loop looks at what else has come, a C-CANCEL above all."""

SEARCH_KEY_CHARACTERS: Final = 256
"""Characters of a value that the index searches by. DICOM allows 64 (LO) or 3 × 64 (PN);
PostgreSQL refuses index entries beyond 2,700 bytes."""


# --- Images --------------------------------------------------------------------------------
IMAGING_WORKERS: Final = 64
"""Processes that make images, at most; one a processor when nothing else is configured."""

IMAGING_MEMORY_BYTES: Final = 1 * GIB
"""Address space of such a process, beside its input: 0.1 GiB are Python and numpy, and a frame of
``PIXELS_OF_FRAME`` needs about 0.6 GiB while it is rendered."""

IMAGING_IDLE_BYTES: Final = 256 * MIB
"""One that holds more memory after its task ends, and another one takes its place."""

IMAGING_PATIENCE_S: Final = 30.0
"""Time for one task, or for each frame of many. The slowest decoder (JPEG 2000) makes 10 MB/s."""

IMAGING_IDLE_S: Final = 60.0
"""A worker without work for so long ends; to start one takes a tenth of a second."""

IMAGING_WAITING: Final = 256
"""Tasks that wait for a worker; the next one is refused. A viewer asks for a series at once."""

IMAGING_MESSAGE_BYTES: Final = 64 * KIB
"""What server and worker say to each other at once; images are in files beside it."""

STRIP_BYTES: Final = 1 * MIB
"""Rows of a picture that are made at once: a slice of CT is one piece, a mammogram a hundred."""

PICTURE_SIDE: Final = 20_000
"""Width or height that a picture may be asked for in; a screen has 8,000."""

PRINTED_VALUES: Final = 32 * MIB
"""Values of a frame that are written as text (``matlab``): a mammogram has 20 million, in 5 s."""

IMAGING_OUTPUT_BYTES: Final = 4 * GIB
"""What one task may write: as numpy, a series of 2,000 slices of 512² is 2 GiB."""
