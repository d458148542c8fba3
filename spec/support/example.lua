-- Runs a program of examples/ against a sandbox, as somebody would from a shell, and reads the
-- table that it prints.
local process = require "process"

local example = {}

local UNSET = {
    "ZENLAYER_ACCESS_KEY_ID", "ZENLAYER_ACCESS_KEY_SECRET", "ZENLAYER_TOKEN", "https_proxy",
    "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
}

-- What it printed, and its exit status.
function example.run(box, program, arguments)
    local words = { "env" }
    for _, name in ipairs(UNSET) do
        table.move({ "-u", name }, 1, 2, #words + 1, words)
    end
    words[#words + 1] = "ZENLAYER_ACCESS_KEY_ID=" .. box.KEY_ID
    words[#words + 1] = "ZENLAYER_ACCESS_KEY_SECRET=" .. box.PASSWORD
    table.move(program, 1, #program, #words + 1, words)
    table.move(arguments, 1, #arguments, #words + 1, words)
    return process.run(words)
end

-- The same with the sandbox's endpoint and certificate before the ids.
function example.stop(box, program, ids)
    local arguments = { "--endpoint", box.endpoint, "--ca-file", box.ca_file }
    table.move(ids, 1, #ids, #arguments + 1, arguments)
    return example.run(box, program, arguments)
end

-- Run examples/NAME as its keys and its endpoint come from the environment: its exit status, stdout
-- and stderr. `environment` has what is different: { NAME = value, or false for none }. The module
-- every_lua is not loaded there: what the example uses, its Lua must have.
function example.script(box, name, arguments, environment)
    local settings = {
        ZENLAYER_ACCESS_KEY_ID = box.KEY_ID, ZENLAYER_ACCESS_KEY_SECRET = box.PASSWORD,
        ZENLAYER_ENDPOINT = box.endpoint, ZENLAYER_CA_FILE = box.ca_file,
    }
    for variable, value in pairs(environment or {}) do
        settings[variable] = value
    end
    local words = { "env" }
    for _, variable in ipairs(UNSET) do
        table.move({ "-u", variable }, 1, 2, #words + 1, words)
    end
    for variable, value in pairs(settings) do
        words[#words + 1] = value and variable .. "=" .. value or nil
    end
    table.move({ process.lua, "examples/" .. name }, 1, 2, #words + 1, words)
    table.move(arguments, 1, #arguments, #words + 1, words)
    local directory = process.temporary_directory()
    local _, how, status = os.execute(("%s </dev/null >%s/out 2>%s/err"):format(
        process.command(words), directory, directory))
    local out, err = process.read(directory .. "/out"), process.read(directory .. "/err")
    process.remove(directory)
    assert(how == "exit", how)
    return status, out, err
end

-- { [name] = number } of lines like "poll, median   0.031  ms".
function example.numbers(output)
    local found = {}
    for line in output:gmatch "([^\n]*)\n" do
        local name, number = line:match "^([%a, ]-)  +([%d.]+)"
        assert(name, output)
        found[name] = tonumber(number)
    end
    return found
end

-- Every one of these ids was asked to stop, once, in requests of a hundred that were carried out.
function example.assert_stopped(box, ids)
    local missing, count = {}, 0
    for _, id in ipairs(ids) do
        missing[id] = true
    end
    for _, request in ipairs(box:requests()) do
        assert(request.action == "StopInstances" and request.acted, request.action)
        assert(#request.params.instanceIds == 100 and request.params.forceShutdown == false)
        for _, id in ipairs(request.params.instanceIds) do
            assert(missing[id], id .. " is none of those given, or was stopped before")
            missing[id] = nil
            count = count + 1
        end
    end
    assert(count == #ids, count .. " of " .. #ids .. " were stopped")
end

return example
