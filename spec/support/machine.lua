-- A user's machine for the specs of building and installing: the sources as they stand in a clone
-- of their own, and commands that have nothing of this run's environment.
--
--   local machine = machines.new()
--   machine:check({ "make", "install", "PREFIX=" .. machine:path "a prefix" }, "the sources")
--   machine:list "a prefix"                    -- { "755 lib/", "755 lib/lua/", … }
--   machine:remove()
local assert = require "luassert"
local lfs = require "lfs"
local process = require "process"

local machines = {}
machines.__index = machines

-- The interpreters that the specs run on, as spec/run tells them, and their versions.
function machines.interpreters()
    local list = {}
    for lua in os.getenv("ZENLAYER_TEST_LUAS"):gmatch "([^\n\t]+)\t[^\n]+" do
        local version = process.check { lua, "-e", "io.write(_VERSION:sub(5))" }
        list[#list + 1] = { lua = lua, version = version }
    end
    assert(#list > 0)
    return list
end

-- The version that the sources say they are.
machines.VERSION = process.read("api/zenlayer.h"):match '#define ZL_VERSION "([%d.]+)"'

-- A folder with the clone in "the sources", its origin (with a tag of the version) in "origin", and
-- "home", "tmp", "empty".
function machines.new()
    local machine = setmetatable({ directory = process.temporary_directory() }, machines)
    for _, folder in ipairs { "home", "tmp", "empty" } do
        assert(lfs.mkdir(machine:path(folder)))
    end
    local function git(...)
        process.check {
            "env", "HOME=" .. machine:path "home", "git", "-c", "user.name=spec",
            "-c", "user.email=spec@localhost", "-c", "core.autocrlf=false", ...
        }
    end
    local origin = machine:path "origin"
    local committed = { "--git-dir", origin, "--work-tree", lfs.currentdir() }
    local function git_here(...)
        local words = { table.unpack(committed) }
        table.move({ ... }, 1, select("#", ...), #words + 1, words)
        git(table.unpack(words))
    end
    git("init", "-q", "--bare", origin)
    git_here("add", "-A") -- all but what .gitignore names
    git_here("commit", "-q", "-m", "as it stands")
    git_here("tag", "v" .. machines.VERSION)
    git("clone", "-q", origin, machine:path "the sources")
    return machine
end

function machines:remove()
    process.remove(self.directory)
end

function machines:path(name)
    return self.directory .. "/" .. name
end

-- Run a command in one of the folders. Whatever went for the network would end at once.
function machines:run(words, folder, umask)
    local all = {
        "env", "-i", "PATH=" .. os.getenv "PATH", "HOME=" .. self:path "home",
        "TMPDIR=" .. self:path "tmp", "http_proxy=http://127.0.0.1:9",
        "https_proxy=http://127.0.0.1:9", "sh", "-c",
        'cd "$1" && umask "$2" && shift 2 && exec "$@"', "sh", self:path(folder), umask or "022",
    }
    table.move(words, 1, #words, #all + 1, all)
    return process.run(all)
end

function machines:check(words, folder, umask)
    local output, status = self:run(words, folder, umask)
    assert(status == 0, output)
    return output
end

-- What is below a folder: mode and path, with a slash after that of a folder; sorted by path.
function machines:list(folder)
    local output = process.check {
        "find", self:path(folder), "-mindepth", "1", "(", "-type", "d", "-printf", "%P/ %m\\n",
        "-o", "-printf", "%P %m\\n", ")",
    }
    local list = {}
    for line in output:gmatch "[^\n]+" do
        list[#list + 1] = line
    end
    table.sort(list)
    for i, line in ipairs(list) do
        list[i] = line:gsub("^(.*) (%d+)$", "%2 %1")
    end
    return list
end

-- The list of a prefix in which the module is installed for a version of Lua.
function machines.installed(version)
    local paths = {
        "lib/", "lib/lua/", "lib/lua/V/", "lib/lua/V/zenlayer.so", "lib/lua/V/zenlayer/",
        "lib/lua/V/zenlayer/core.so", "share/", "share/lua/", "share/lua/V/",
    }
    local scripts = process.check {
        "find", "lib", "-mindepth", "1", "(", "-type", "d", "-printf", "share/lua/V/%P/\\n", "-o",
        "-name", "*.lua", "-printf", "share/lua/V/%P\\n", ")",
    }
    assert(scripts:find "/resty/zenlayer%.lua\n" and scripts:find "/resty/zenlayer/http%.lua\n")
    for path in scripts:gmatch "[^\n]+" do
        paths[#paths + 1] = path
    end
    table.sort(paths)
    for i, path in ipairs(paths) do
        paths[i] = (path:find "%.lua$" and "644 " or "755 ") .. path:gsub("V", version)
    end
    return paths
end

-- Use the module that is installed in a prefix with an interpreter, in an empty folder, and stop an
-- instance of a sandbox with it: spec/support/installed.lua.
function machines:use(prefix, interpreter, paths, box)
    local words = { "env" }
    table.move(paths, 1, #paths, 2, words)
    local script = { interpreter.lua, lfs.currentdir() .. "/spec/support/installed.lua" }
    table.move(script, 1, 2, #words + 1, words)
    local id = box:ids(1)[1]
    table.move({ box.endpoint, box.ca_file, id }, 1, 3, #words + 1, words)
    box:mark()
    local output = self:check(words, "empty")
    local requests = box:requests()
    assert(#requests == 1 and requests[1].acted and requests[1].params.instanceIds[1] == id, output)

    local told, files = {}, {}
    for name, value in output:gmatch "([^\t\n]+)\t([^\n]+)" do
        if name == "file" then
            files[#files + 1] = value
        else
            told[name] = value
        end
    end
    local here = require("zenlayer").versions()
    assert.same({
        zenlayer = machines.VERSION, lua = "Lua " .. interpreter.version, libcurl = here.libcurl,
        openssl = here.openssl, cjson = here.cjson, request_id = requests[1].request_id,
    }, told)
    local from = self:path(prefix)
    local version = interpreter.version
    assert.same({
        from .. "/lib/lua/" .. version .. "/zenlayer.so",
        from .. "/lib/lua/" .. version .. "/zenlayer/core.so",
        from .. "/share/lua/" .. version .. "/resty/zenlayer.lua",
        from .. "/share/lua/" .. version .. "/resty/zenlayer/http.lua",
    }, files)
    assert.same({}, self:list "empty")
end

return machines
