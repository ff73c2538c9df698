#!/bin/sh
echo "loaf ${AWS_BATCH_JOB_ARRAY_INDEX}"
