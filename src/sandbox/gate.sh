# Runs a command once a line comes in: by then the watcher knows this process. $1: the log; the rest: the command.
log=$1
shift
read -r _ || exit
exec "$@" >>"$log" 2>&1 </dev/null
