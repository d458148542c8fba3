-- The servers of server.py, for the specs.
local cjson = require "cjson"
local lfs = require "lfs"
local process = require "process"

local server = {}
server.__index = server

-- Start one; see server.py for the modes and their options. `prepare(directory)`, if given, is
-- called before.
function server.start(mode, options, prepare)
    return server.run({ "python3", "-B", "spec/support/server.py", mode }, options, prepare)
end

-- Start a program that keeps server.py's word about DIR, its last argument.
function server.run(words, options, prepare)
    local directory = process.temporary_directory()
    local self = setmetatable({ directory = directory, from = 0 }, server)
    if prepare then
        prepare(directory)
    end
    if options then
        process.write(directory .. "/options.json", cjson.encode(options))
    end
    words[#words + 1] = directory
    self.process = process.start(words, directory .. "/ready.json", directory .. "/messages")
    self.port = math.tointeger(self.process.ready.port)
    self.pid = self.process.pid
    return self
end

function server:stop()
    process.stop(self.process)
    process.remove(self.directory)
end

-- Whether it still runs. (Once ended it is a zombie, until it is stopped.)
function server:alive()
    local file = io.open("/proc/" .. self.pid .. "/stat")
    local state = file and (file:read "*a" or ""):match "^%d+ %b() (%a)"
    if file then
        file:close()
    end
    return state ~= nil and state ~= "Z"
end

-- The ids of its child processes: of an nginx, the workers. The title of one that only finishes
-- what it has tells so; those are left out, unless all are asked for.
function server:children(all)
    local found = {}
    for name in lfs.dir "/proc" do
        local stat = name:find "^%d+$" and io.open("/proc/" .. name .. "/stat")
        local parent = stat and (stat:read "*a" or ""):match "^%d+ %b() %a (%d+)"
        if stat then
            stat:close()
        end
        if tonumber(parent) == self.pid then
            local title = io.open("/proc/" .. name .. "/cmdline")
            local text = title and title:read "*a" or ""
            if title then
                title:close()
            end
            if all or not text:find("is shutting down", 1, true) then
                found[#found + 1] = tonumber(name)
            end
        end
    end
    table.sort(found)
    return found
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
