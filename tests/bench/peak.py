"""peak.py FILE COMMAND...: runs the command and writes to FILE.RANK what it used: peak memory in bytes, CPU seconds."""

import os
import resource
import subprocess
import sys

code = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(f"{sys.argv[1]}.{os.environ.get('OMPI_COMM_WORLD_RANK', '0')}", "w", encoding="utf-8") as out:
    print(used.ru_maxrss * 1024, used.ru_utime + used.ru_stime, file=out)
sys.exit(code)
