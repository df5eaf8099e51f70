/dev/fd/3: line 44: mprun: command not found
