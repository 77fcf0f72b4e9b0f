# A health check made by a program on the host, for servers that forward no connections. qd_check: http or tcp.

health() {
    output=$(mktemp 2>/dev/null) || { refuse failed "cannot make a temporary file"; return 1; }
    case $qd_check in
    http)
        if have curl; then
            health_code=$(curl -s -o "$output" -w '%{http_code}' --max-time "$qd_seconds" "http://$qd_to:$qd_port$qd_uri" </dev/null)
        elif have python3; then
            health_code=$(python3 -c 'import sys, urllib.request, urllib.error
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=float(sys.argv[2]))
except urllib.error.HTTPError as error:
    answer = error
open(sys.argv[3], "wb").write(answer.read(1048576))
print(answer.status)' "http://$qd_to:$qd_port$qd_uri" "$qd_seconds" "$output" 2>/dev/null </dev/null)
        elif have wget; then
            # busybox and GNU: -S prints the status line, a status of 400 and above leaves the body empty.
            health_code=$(wget -S -O "$output" -T "$qd_seconds" "http://$qd_to:$qd_port$qd_uri" 2>&1 </dev/null |
                sed -n 's,.*HTTP/[0-9.]* \([0-9][0-9][0-9]\).*,\1,p' | tail -n 1)
        else
            refuse missing 'curl, wget or python3 (and the server forwards no connections)'
            return 1
        fi
        case $health_code in '' | 000) result no-answer ;; *) result "http $health_code" ;; esac
        ;;
    tcp)
        if have nc; then nc -z -w "$qd_seconds" "$qd_to" "$qd_port" </dev/null >/dev/null 2>&1
        elif have python3; then
            python3 -c 'import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]))' "$qd_to" "$qd_port" "$qd_seconds" </dev/null >/dev/null 2>&1
        elif have bash timeout; then timeout "$qd_seconds" bash -c '>/dev/tcp/$0/$1' "$qd_to" "$qd_port" </dev/null >/dev/null 2>&1
        else
            refuse missing 'nc, python3 or bash (and the server forwards no connections)'
            return 1
        fi && result connected || result no-answer
        ;;
    esac
}

health
health_status=$?
health_body=$output
printf '%s' "$answer"
printf '%s output\n' "$qd_mark"
[ -z "$health_body" ] || tail -c 65536 "$health_body"
printf '\n%s end-output\n' "$qd_mark"
[ -z "$health_body" ] || rm -f "$health_body"
answer=
output=
finish_answer "$health_status"
