"""What ``--help`` of the receiver says. The options themselves are ``options.py``' business.

The text is written by hand: argparse lays help out otherwise in each version of Python, and knows
no groups of signals and exit codes.
"""

from __future__ import annotations

HELP = """\
usage: {prog} SINK [options] [-- COMMAND ...]

Receive log records from other processes and write them to one rotated file.

  SINK                   path of the log file; may hold loguru's {{time}}; - is standard output
  -- COMMAND ...         run COMMAND with the log's address in its environment, and end with it;
                         without a command the receiver runs until a signal ends it
  --inject               give the bridge to every Python process of COMMAND, without a line of its
                         own: those of this Python, not those with -I, -E or -S

The file, in loguru's words:
  --rotation WHEN        when to begin a new file: "100 MB", "00:00", "1 week" (default: never);
                         several as '["100 MB", "00:00"]', where loguru has lists
  --retention WHICH      which old files to keep: "10 days", or a number of files (default: all)
  --compression HOW      how to compress old files: gz, bz2, xz, zip, tar.gz (default: not at all)
  --format FORMAT        how a line looks (default: $LOGURU_FORMAT, else loguru's own with the
                         process's id)
  --level LEVEL          the least level written, a name or a number (default: DEBUG)
  --filter WHICH         whose records: a module, or '{{"": "INFO", "shop.db": "ERROR"}}', the least
                         level of each (default: everybody's)
  --colorize             paint lines, messages and tracebacks
  --serialize            write JSON documents
  --encoding NAME        encoding of the file (default: utf8)
  --errors HOW           what becomes of characters that it lacks (default: backslashreplace)
  --newline HOW          how a line ends: lf, crlf or cr (default: as this system has it)
  --escape               show line breaks and control characters of records as \\n, \\x1b and so on
  --sink PATH            one more file, or -, that gets each record; the options above, when they
                         stand behind it, are for that one; may be repeated
  --mode MODE            mode of log files and archives, as in 0640 (default: the umask's)
  --owner USER:GROUP     their owner; one of the two may be missing
  --fsync                acknowledge only what is on the disk itself

Who can reach it:
  --listen ADDRESS       tcp://host:port, tls://host:port or unix:///path; may be repeated; port 0
                         takes any free port (default: $LOGURU_STDBRIDGE_ADDRESS, else
                         tcp://127.0.0.1:9020; with a command, none). log:///path/of/SINK reaches it
                         in any case.
                         nats://[USER:PASSWORD@]HOST:4222[,HOST:4222]/STREAM takes records out of a
                         stream of NATS; as SINK or --sink it puts them there (needs pip install
                         'loguru-stdbridge[nats]')
  --nats-create SETTINGS make that stream if it is missing: replicas=3,max_age=7d,max_bytes=50GB
  --socket-mode MODE     mode of the log's own socket and of unix:// sockets (default: 0600; 0660
                         with a group)
  --socket-group GROUP   their group (default: that of --spool-group)
  --tls-cert FILE        for tls:// addresses: the receiver's certificate, in PEM
  --tls-key FILE         its key (default: it is in the same file)
  --tls-ca FILE          the CA of the clients' certificates (default: none is asked for)
  --tls-crl FILE         what that CA has revoked
  --max-connections N    clients at a time (default: 1000, if that many files may be open)
  --max-peer-connections N    of one host, or of one user of this machine (default: as many)
  --max-rate N           records a second of one client; one that sends more waits (default: as fast
                         as it goes)
  --insecure             listen beyond loopback, although not every client has to show a
                         certificate
  --ready-file PATH      there while clients can connect: the addresses, one on a line

What can be seen of it:
  --status ADDRESS       show the status by HTTP: a page, /metrics, /healthz, /readyz; as in
                         tcp://127.0.0.1:9021 or unix:///path; may be repeated (default: nowhere)
  --status-token-file PATH
                         a file of mode 0600 with a token that whoever looks has to give; needed
                         beyond loopback
  --status-host NAME     a name by which the status may be called, besides localhost and IP
                         addresses; may be repeated
  --status-files         let the log's files be fetched there
  --console              print each record on stdout as well, in colour

Journals and lines:
  --spool-dir DIR        where workers keep their journals (default: one directory for each user)
  --spool-group GROUP    for a COMMAND that root starts and that becomes another user: members of
                         GROUP keep their journals in DIR, and see no others' (default: none; DIR
                         is /var/lib/loguru_stdbridge-0-GROUP then). GROUP is one that COMMAND has
                         as that user: gunicorn -u www-data -g www-data
  --order SECONDS        hold lines back for so long, and write them sorted by their own time across
                         workers (default: as they come)
  --render WHO           who renders plain lines: worker or receiver (default: worker, which is
                         faster)

To another receiver as well:
  --tee ADDRESS          send each record on to the receiver there, once; where it is away, records
                         wait beside the sink, 256 MB at most; may be repeated
  --tee-peer KIND        what listens there: stdbridge (default), or stock for a program that reads
                         the format of SocketHandler, such as cutelog; that gets each at most once

How it runs:
  --standby              wait while another receiver writes this sink, then take over
  --linger SECONDS       end by itself after so long without a client (default: never)
  --grace SECONDS        time to take what clients have sent, at the end (default: 5)
  --detached             leave the session; messages go to .NAME.receiver beside the sink

Where options are said:
  --config FILE          the same options in a file, which ends with .toml or .json; several sinks
                         are [[handlers]] there, in the words of logger.configure

  --setup MODULE:FUNCTION    a function of yours for what no option says: it is given the arguments
                         of logger.configure (handlers, patcher) and changes them

And then end:
  --check                check the options and the sink, and leave nothing behind
  --print-config         print the options that are in force, and where each of them comes from
  --version              print the version
  -h, --help             print this

Examples:
  {prog} logs/app.log --rotation "100 MB" --retention 10 --compression gz
  {prog} logs/app.log --rotation 00:00 -- gunicorn -w 4 shop:app
  {prog} logs/app.log --inject -- celery -A shop worker

Environment:
  Each option can be a variable: LOGURU_STDBRIDGE_ROTATION for --rotation, LOGURU_STDBRIDGE_SINK
  for SINK. 1 and 0 switch those without a value. The command line
  wins, then comes the environment, then --config.

Exit codes:
  0    a clean end                    2    wrong usage
  1    a failure: address in use,     78   a bad configuration
       sink not writable or held      126, 127   COMMAND cannot be run, or is not there
  With COMMAND: its own; 128 + n if signal n has ended it.

Signals:
  TERM, INT    end within --grace seconds; with COMMAND, end that first
  HUP          follow --config as it is now, open the file anew, as after logrotate, and read the
               certificates again
  USR1         open the file anew, and no more
  USR2         tell the whole state
  HUP, USR1, USR2, QUIT, TTIN, TTOU, WINCH    passed on to COMMAND
"""
