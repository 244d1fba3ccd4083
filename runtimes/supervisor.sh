# Runs the external extensions of a function beside its runtime. The server puts this text into the
# command of environments that have some, so no image and no folder needs to hold it:
#
#     sh -c "$launcher" supervisor "$this_text" FOLDER COUNT NAME... COMMAND...
#
# Each extension is a process of its own; its lines are marked in the environment's output, its end
# is told to the server. The runtime starts once all have registered, as on AWS. It stays a child:
# extensions hear of its end, and the server of how it ended. See scheduler/extensions.py.
#
# Calls of the server wait as long as it lets them. bash speaks HTTP by itself; where there is none
# curl or wget does.

folder=$1 count=$2
shift 2
api=$AWS_LAMBDA_RUNTIME_API
base=/2020-01-01/lambda-home/supervisor

call() { # PATH: whether the server answers 200
    if [ -n "$BASH_VERSION" ]; then
        exec 9<>"/dev/tcp/${api%:*}/${api##*:}" || return 1
        printf 'POST %s/%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n' "$base" "$1" "$api" >&9
        IFS=' ' read -r _ status _ <&9
        exec 9>&-
        [ "$status" = 200 ]
    elif command -v curl >/dev/null 2>&1; then
        curl -s -f -o /dev/null -X POST "http://$api$base/$1"
    else
        wget -q -O /dev/null --post-data= "http://$api$base/$1"
    fi
} 2>/dev/null

mark() { # INDEX: pieces are short enough for a pipe to take each whole
    LC_ALL=C
    while IFS= read -r line || [ -n "$line" ]; do
        while [ ${#line} -gt 3000 ]; do
            rest=${line#"$(printf '%.3000s' "$line")"}
            printf '\036EXT+ %s\036%s\n' "$1" "${line%"$rest"}"
            line=$rest
        done
        printf '\036EXT %s\036%s\n' "$1" "$line"
    done
}

cannot_start() { # PATH: prints why, as AWS's launcher words it; fails if it can
    [ -e "$1" ] || { echo "no such file or directory"; return; }
    [ -d "$1" ] || [ ! -x "$1" ] && { echo "permission denied"; return; }
    [ -r "$1" ] || return 1
    LC_ALL=C
    IFS= read -r first <"$1"
    case $first in
        '#!'*)
            first=${first#'#!'}
            first=${first#"${first%%[! ]*}"}
            [ -x "${first%% *}" ] || { echo "no such file or directory"; return; } ;;
        "$(printf '\177ELF')"*)
            case $(od -An -tu1 -j18 -N1 "$1" | tr -d ' '),$(uname -m) in
                62,x86_64 | 183,aarch64 | ,* | *,) ;;
                *) echo "exec format error"; return ;;
            esac ;;
        *) echo "exec format error"; return ;;
    esac
    return 1
} 2>/dev/null

extension() { # INDEX PATH
    trap - TERM
    if reason=$(cannot_start "$2"); then
        case $reason in
            "permission denied") call "launch-error/$1/PermissionDenied" ;;
            "exec format error") call "launch-error/$1/ExecFormatError" ;;
            *) call "launch-error/$1/NoSuchFile" ;;
        esac
        return
    fi
    {
        code=$(
            {
                {
                    (
                        cd / || exit
                        unset _HANDLER _X_AMZN_TRACE_ID AWS_EXECUTION_ENV AWS_LAMBDA_LOG_GROUP_NAME \
                            AWS_LAMBDA_LOG_STREAM_NAME AWS_XRAY_CONTEXT_MISSING AWS_XRAY_DAEMON_ADDRESS \
                            _AWS_XRAY_DAEMON_ADDRESS _AWS_XRAY_DAEMON_PORT LAMBDA_RUNTIME_DIR \
                            LAMBDA_TASK_ROOT OLDPWD
                        exec "$2" 2>&1 </dev/null 3>&- 4>&-
                    )
                    echo $? >&3
                } | mark "$1" >&4 3>&-
            } 3>&1
        )
    } 4>&1
    call "exit/$1/$code"
}

index=0
while [ "$index" -lt "$count" ]; do
    extension "$index" "$folder/$1" &
    shift
    index=$((index + 1))
done

call registered || exit 1

"$@" &
runtime=$!
trap 'kill -TERM "$runtime"' TERM
{
    trap - TERM
    if call ending; then
        kill -TERM "$runtime"
        sleep 0.6
        kill -KILL "$runtime"
    fi
} >/dev/null 2>&1 &
watcher=$!

while :; do
    wait "$runtime"
    code=$?
    kill -0 "$runtime" 2>/dev/null || break
done
call "exit/runtime/$code" # the server ends this environment while we wait
kill "$watcher" 2>/dev/null
exit "$code"
