#!/bin/sh
# Succeeds at the second attempt.
echo "attempt ${AWS_BATCH_JOB_ATTEMPT}"
test "${AWS_BATCH_JOB_ATTEMPT}" -eq 2
