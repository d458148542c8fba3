-- The servers of server.py, for the specs.
local cjson = require "cjson"
local process = require "process"

local server = {}
server.__index = server

-- Start one; see server.py for the modes and their options. `prepare(directory)`, if given, is
-- called before.
function server.start(mode, options, prepare)
    local directory = process.temporary_directory()
    local self = setmetatable({ directory = directory, from = 0 }, server)
    if prepare then
        prepare(directory)
    end
    if options then
        process.write(directory .. "/options.json", cjson.encode(options))
    end
    local words = { "python3", "spec/support/server.py", mode, directory }
    self.process = process.start(words, directory .. "/ready.json", directory .. "/messages")
    self.port = math.tointeger(self.process.ready.port)
    self.pid = self.process.pid
    return self
end

function server:stop()
    process.stop(self.process)
    process.remove(self.directory)
end

-- What it saw of one kind of event ("connection", "request").
function server:events(name)
    local found = {}
    for _, line in ipairs(process.json_lines(self.directory .. "/log")) do
        if line.event == name then
            found[#found + 1] = line
        end
    end
    return found
end

return server
