# What every job does: job.sh DIRECTORY LINES PAUSE FIRST LATER EXTRA
#
# Prints LINES numbered lines with a PAUSE between them, and exits with FIRST in its first attempt, with LATER in later ones.
# EXTRA `lingers` leaves a process behind that only the node can end; `waits` stays until it is stopped.
journal=$1/journal job=$AWS_BATCH_JOB_ID attempt=$AWS_BATCH_JOB_ATTEMPT
# Whatever is started here inherits the lock, so it is free when nothing of an attempt runs any more. A killed process may
# hold it for a moment without running.
exec 9>>"$1/locks/$job"
flock --nonblock 9 || flock --wait 1 9 || echo "overlap $job $attempt $$" >>"$journal"
echo "begin $job $attempt $$" >>"$journal"
[ "$6" != lingers ] || setsid sleep 600 &
if [ "$3" = 0 ]; then
    seq -f "line $attempt %.0f" "$2"
else
    line=0
    while [ "$((line += 1))" -le "$2" ]; do
        echo "line $attempt $line"
        sleep "$3"
    done
fi
[ "$6" != waits ] || sleep 600
code=$5
[ "$attempt" != 1 ] || code=$4
echo "end $job $attempt $$ $code" >>"$journal"
exit "$code"
