-- Compiles late.c, which is preloaded into interpreters that a spec starts.
local process = require "process"

local late = {}

-- In `directory`: late.so. Returns the LD_PRELOAD for it.
function late.compile(directory)
    local path = directory .. "/late.so"
    process.check {
        "sh", "-c", ("exec ${CC:-cc} -std=c11 -O1 -Wall -Wextra -fPIC -shared "
            .. "-o %s spec/support/late.c -Wl,--no-as-needed "
            .. "$(${PKG_CONFIG:-pkg-config} --cflags --libs libcurl) -ldl")
            :format(process.quote(path)),
    }
    local inherited = os.getenv "LD_PRELOAD" -- a sanitizer's
    return inherited and inherited .. ":" .. path or path
end

return late
