-- A local Zenlayer for a spec file: starts sandbox/zenlayer-sandbox, makes clients for it, tells it
-- how to misbehave, and reads what it saw.
--
--   local box = sandbox.start { "--instances", "3" }
--   local client = closing(box:client { max_attempts = 2 }) -- of zenlayer.safe
--   box:faults { { fault = "reset_before", times = 1 } }
--   box:requests()                                         -- those since the last box:faults
--   box:stop()
local cjson = require "cjson"
local process = require "process"
local zenlayer = require "zenlayer"
local safe = require "zenlayer.safe"

local sandbox = {
    KEY_ID = "SANDBOXKEY",
    PASSWORD = "sandbox-password",
    TOKEN = "sandbox-token",
}
sandbox.__index = sandbox

-- Start one, with these arguments besides the usual ones.
function sandbox.start(arguments)
    local directory = process.temporary_directory()
    local box = setmetatable({
        directory = directory,
        journal_file = directory .. "/journal",
        faults_file = directory .. "/faults.json",
        from = 0,
        count = 0,
    }, sandbox)
    local ready_file = directory .. "/ready.json"
    local words = {
        "sandbox/zenlayer-sandbox", "--port", "0", "--dir", directory, "--ready-file", ready_file,
        "--journal", box.journal_file, "--faults", box.faults_file, "--accept-any",
        "--die-with-parent",
    }
    table.move(arguments or {}, 1, #(arguments or {}), #words + 1, words)
    box.server = process.start(words, ready_file, directory .. "/messages")
    box.endpoint = box.server.ready.endpoint
    box.port = math.tointeger(box.server.ready.port)
    box.ca_file = box.server.ready.ca_file ~= cjson.null and box.server.ready.ca_file or nil
    return box
end

function sandbox:stop()
    process.stop(self.server)
    process.remove(self.directory)
end

-- Options of new: those given, the sandbox's for the rest. `false` leaves one out.
function sandbox:options(options)
    local all = { endpoint = self.endpoint, ca_file = self.ca_file, proxy = false }
    if not (options and (options.token or options.access_key_id or options.credentials)) then
        all.access_key_id, all.access_key_password = self.KEY_ID, self.PASSWORD
    end
    if all.endpoint:find "^http:" then
        all.proxy = nil
    end
    for name, value in pairs(options or {}) do
        all[name] = value
        if value == false and name ~= "proxy" then
            all[name] = nil
        end
    end
    return all
end

-- A client that returns nil, err.
function sandbox:client(options)
    return assert(safe.new(self:options(options)))
end

-- A client that raises.
function sandbox:raising_client(options)
    return zenlayer.new(self:options(options))
end

-- Set the fault rules (none: all is well), and begin to read the journal from here.
function sandbox:faults(rules)
    -- The sandbox tells a new file by its time, size and inode; the size alone is sure to differ.
    self.scripts = (self.scripts or 0) % 1000 + 1
    local script = #rules == 0 and "[]" or cjson.encode(rules)
    process.write(self.faults_file, script .. (" "):rep(self.scripts))
    self:mark()
end

-- A line that is just being written is of what was before: it may be seen to grow page by page.
function sandbox:mark()
    local file = assert(io.open(self.journal_file, "rb"))
    process.await(function()
        self.from = file:seek "end"
        return self.from == 0 or (file:seek("set", self.from - 1) and file:read(1) == "\n")
    end, "the end of a line of the journal")
    file:close()
end

function sandbox:journal()
    return process.json_lines(self.journal_file, self.from)
end

-- The requests in the journal since the mark, without those that only warm a connection up.
function sandbox:requests()
    local found = {}
    for _, line in ipairs(self:journal()) do
        if line.seq and line.method == "POST" then
            found[#found + 1] = line
        end
    end
    return found
end

-- Wait until there are so many.
function sandbox:await_requests(count)
    process.await(function()
        return #self:requests() >= count
    end, count .. " requests")
end

-- The numbers of the connections that were opened since the mark.
function sandbox:connections()
    local found = {}
    for _, line in ipairs(self:journal()) do
        if line.event == "connection_opened" then
            found[#found + 1] = line.connection
        end
    end
    return found
end

-- So many ids that nobody used before, each with this beginning ("missing-", …).
function sandbox:ids(n, beginning)
    local ids = {}
    for i = 1, n do
        self.count = self.count + 1
        ids[i] = ("%sid-%06d"):format(beginning or "", self.count)
    end
    return ids
end

return sandbox
