-- The credential files of the official command line, in a home of the spec's own: when new looks
-- into them, and what it says of them. spec/core/test_credentials_file.c has their inner side.
local cjson = require "cjson"
local credentials = require "binding_credentials"
local errors = require "binding_errors"
local lfs = require "lfs"
local process = require "process"
local sandbox = require "sandbox"

local refused = credentials.refused
local SECRET = credentials.SECRET
local ID, PASSWORD, TOKEN = credentials.ID, credentials.PASSWORD, credentials.TOKEN

local FILES = {
    default = { access_key_id = "FILE", access_key_secret = SECRET },
    ci = { access_key_id = "CI", access_key_secret = SECRET, region = { 1 } },
    dev = { access_key_id = "DEV", access_key_secret = SECRET },
    token = { token = SECRET },
}

local home, folder, path, config

local function chmod(mode, file)
    process.check { "chmod", mode, file or path }
end

-- Put a file there; a table is written as JSON.
local function put(file, content, mode)
    process.check { "rm", "-rf", file }
    process.write(file, type(content) == "table" and cjson.encode(content) or content)
    chmod(mode or "600", file)
end

local function new(environment, options)
    local all = { HOME = home }
    for name, value in pairs(environment or {}) do
        all[name] = value
    end
    return credentials.new(all, options)
end

-- The id of the key pair that is used, or the token.
local function used(environment, options)
    local output, authorization = new(environment, options)
    assert.equal("found\n", output)
    return authorization:match "Credential=([^,]*)," or authorization:match "^Bearer (.*)$"
end

local function refuses(code, parts, environment, options)
    local all = { HOME = home }
    for name, value in pairs(environment or {}) do
        all[name] = value
    end
    return refused(code, parts, all, options)
end

before_each(function()
    home = process.temporary_directory()
    folder = home .. "/.zenlayer"
    path, config = folder .. "/credentials.json", folder .. "/config.json"
    assert(lfs.mkdir(folder))
    put(path, FILES)
end)

after_each(function()
    process.remove(home)
end)

describe("the files", function()
    it("are enough: a pair, or a token", function()
        assert.equal("FILE", used())
        assert.equal(SECRET, used { ZENLAYER_PROFILE = "token" })
        put(path, { default = { token = "t" } })
        assert.equal("t", used())
    end)

    it("sign as the same keys in the options do", function()
        local box = sandbox.start()
        put(path, {
            default = { access_key_id = box.KEY_ID, access_key_secret = box.PASSWORD },
            wrong = { access_key_id = box.KEY_ID, access_key_secret = box.PASSWORD .. "x" },
            token = { token = box.TOKEN },
        })
        local told = {}
        for _, profile in ipairs { "default", "wrong", "token" } do
            local output = process.run_lua([[
                local client = assert(require "zenlayer.safe".new {
                    endpoint = arg[1], ca_file = arg[2], proxy = false, profile = arg[3],
                })
                local _, err = client:call "Echo"
                print(type(err) == "string" and "done" or err.code)
            ]], { HOME = home }, box.endpoint, box.ca_file, profile)
            told[#told + 1] = output:sub(1, 11)
        end
        box:stop()
        assert.same({ "done\n", "AUTHFAILURE", "done\n" }, told)
    end)

    it("come after the options and after the environment", function()
        assert.equal("OPTION", used({}, "access_key_id=OPTION;access_key_password=x;"))
        assert.equal("OPTION", used({ [ID] = "ENV", [PASSWORD] = "x" }, "token=OPTION;"))
        assert.equal("ENV", used { [ID] = "ENV", [PASSWORD] = "x" })
        assert.equal("ENV", used { [TOKEN] = "ENV" })
        for i = 2, 4, 2 do
            local names = credentials.OTHERS
            assert.equal("ENV", used { [names[i]] = "ENV", [names[i + 1]] = "x" })
        end
        -- ZENLAYER_PROFILE is for the files alone.
        assert.equal("ENV", used { [TOKEN] = "ENV", ZENLAYER_PROFILE = "ci" })
        assert.equal("ENV", used { [TOKEN] = "ENV", ZENLAYER_PROFILE = "none" })
        -- An empty variable is none; half a pair is an error, not a reason to look further.
        assert.equal("FILE", used { [TOKEN] = "", [ID] = "", ZENLAYER_PROFILE = "" })
        refuses("CREDENTIALS_INVALID", { "environment" }, { [ID] = "ENV" })
        refuses("CREDENTIALS_INVALID", { "options" }, {}, "access_key_id=OPTION;")
    end)

    it("are not looked at where something comes before them", function()
        local broken = {
            function() put(path, "{") end,
            function() put(config, "{") end,
            function() put(path, FILES, "644") end,
            function() process.check { "sh", "-c", "rm -f $0; mkfifo $0", path } end,
            function() process.check { "sh", "-c", "rm -rf $0; mkfifo $0", folder } end,
        }
        for _, breaks in ipairs(broken) do
            breaks()
            assert.equal("OPTION", used({}, "token=OPTION;"))
            assert.equal("ENV", used { [TOKEN] = "ENV" })
        end
    end)

    it("are not looked at by require", function()
        -- Nor by a new that is given all: only the one that needs them finds them broken.
        for _, breaks in ipairs {
            "echo { >$0/.zenlayer/credentials.json; echo { >$0/.zenlayer/config.json",
            "rm -f $0/.zenlayer/*; mkfifo -m 600 $0/.zenlayer/credentials.json",
            "rm -rf $0/.zenlayer; mkfifo $0/.zenlayer",
            "rm -rf $0/.zenlayer; ln -s .zenlayer $0/.zenlayer",
        } do
            process.check { "sh", "-c", breaks, home }
            local output, status = process.run_lua([[
                for _, name in ipairs { "zenlayer", "zenlayer.safe", "zenlayer.core" } do
                    local new = require(name).new
                    local client = new { token = "t" }
                    client:close()
                end
                print(select(2, require "zenlayer.safe".new { profile = "ci" }).kind)
            ]], { HOME = home })
            assert.equal(0, status, output)
            assert.equal("credentials\n", output)
        end
    end)

    it("are for zenlayer.core, too", function()
        local output, status = process.run_lua([[
            local core = require "zenlayer.core"
            local client = core.new { profile = "ci" }
            local _, _, request = client:prepare("Echo"):step()
            print(request.headers.Authorization:match "Credential=([^,]*),")
        ]], { HOME = home })
        assert.equal(0, status, output)
        assert.equal("CI\n", output)
    end)

    it("are those of the user database where HOME is not set", function()
        local name = "zenlayer-spec-has-no-such-profile"
        local directory = process.run {
            "python3", "-c", "import os, pwd; print(pwd.getpwuid(os.getuid()).pw_dir, end='')",
        }
        for _, unset in ipairs { false, "" } do
            local output = credentials.new({ HOME = unset }, "profile=" .. name .. ";")
            assert.is_truthy(output:find(directory .. "/.zenlayer/credentials.json", 1, true),
                output)
        end
    end)
end)

describe("the profile", function()
    it("is default, or config.json's, or ZENLAYER_PROFILE's, or the option's", function()
        assert.equal("FILE", used())
        put(config, { current_profile = "dev", profiles = { dev = { region = "x" } } }, "666")
        assert.equal("DEV", used())
        assert.equal("CI", used { ZENLAYER_PROFILE = "ci" })
        assert.equal("FILE", used({ ZENLAYER_PROFILE = "ci" }, "profile=default;"))
        assert.equal(SECRET, used({}, "profile=token;"))
        put(config, { profiles = { default = {} } })
        assert.equal("FILE", used())
    end)

    it("of the option is looked for in the files alone", function()
        local environment = { [ID] = "ENV", [PASSWORD] = SECRET }
        assert.equal("CI", used(environment, "profile=ci;"))
        assert.equal("CI", used({ [ID] = "half a pair" }, "profile=ci;"))
        for _, profile in ipairs { "none", "CI", "access_key_id" } do
            refuses("CREDENTIALS_MISSING", { "option profile", path, "'" .. profile .. "'" },
                environment, "profile=" .. profile .. ";")
        end
        process.check { "rm", path }
        refuses("CREDENTIALS_MISSING", { "option profile", path, "'ci'", "no such file" },
            environment, "profile=ci;")
    end)

    it("of the option is not given together with keys", function()
        for given, name in pairs {
            ["token=" .. SECRET .. ";"] = "token",
            ["access_key_id=K;access_key_password=" .. SECRET .. ";"] = "access_key_id",
            ["access_key_id=K;"] = "access_key_id",
            ["access_key_password=" .. SECRET .. ";"] = "access_key_password",
        } do
            refuses("CREDENTIALS_INVALID", { "options", name }, {}, "profile=ci;" .. given)
        end
        refuses("CREDENTIALS_INVALID", { "both profile and token" }, {},
            "profile=ci;token=" .. SECRET .. ";")
        local err = errors.caught(function(module)
            return module.new { profile = "ci", credentials = print }
        end)
        assert.equal("CREDENTIALS_INVALID", err.code)
        assert.is_truthy(err.message:find("profile", 1, true), err.message)
    end)

    it("of the option is a string", function()
        for _, value in ipairs { 1, true, {}, print, "", "a\0b" } do
            errors.refused({ where = "options.profile" }, function(module)
                return module.new { profile = value }
            end)
        end
    end)

    it("that ZENLAYER_PROFILE names must be there", function()
        refuses("CREDENTIALS_MISSING", { "ZENLAYER_PROFILE", path, "'none'", "no such profile" },
            { ZENLAYER_PROFILE = "none" })
        process.check { "rm", path }
        refuses("CREDENTIALS_MISSING", { "ZENLAYER_PROFILE", path, "'ci'", "no such file" },
            { ZENLAYER_PROFILE = "ci" })
    end)

    it("that nobody named is missing with every other place", function()
        local places = { "access_key_id", "access_key_password", "token", "profile", ID, PASSWORD,
            TOKEN, credentials.OTHERS[2], credentials.OTHERS[4], path }
        local function missing(...)
            local parts = { ... }
            table.move(places, 1, #places, #parts + 1, parts)
            return refuses("CREDENTIALS_MISSING", parts)
        end
        put(path, { ci = FILES.ci })
        local output = missing("'default'", "no such profile")
        assert.is_nil(output:find("current_profile", 1, true))
        put(config, { current_profile = "gone" })
        missing("'gone'", "current_profile of config.json", "no such profile")
        process.check { "rm", path }
        missing("'gone'", "no such file")
        process.check { "rm", "-r", folder }
        missing("'default'", "no such file")
        process.write(folder, "")
        missing("'default'", "no such file")
    end)

    it("that has neither a pair nor a token has none", function()
        for _, nothing in ipairs {
            "{}", '{"region":"x"}', '{"token":null}', '{"token":"","access_key_id":""}',
        } do
            put(path, '{"default":' .. nothing .. "}")
            for profile, named in pairs { [""] = "environment", default = "ZENLAYER_PROFILE" } do
                refuses("CREDENTIALS_MISSING", { path, "'default'", "neither", named },
                    { ZENLAYER_PROFILE = profile })
            end
        end
    end)

    it("is not half a pair, nor a pair and a token", function()
        local place = "profile 'default' of " .. path
        local cases = {
            { { access_key_id = "K" }, "access_key_id without access_key_secret" },
            { { access_key_secret = SECRET }, "access_key_secret without access_key_id" },
            { { access_key_id = "K", access_key_secret = "" }, "without access_key_secret" },
            { { access_key_id = "K", access_key_secret = SECRET, token = SECRET }, "both" },
            { { access_key_id = "K", token = SECRET }, "both an access key and a token" },
            { { access_key_secret = SECRET, token = SECRET }, "both an access key and a token" },
        }
        for _, case in ipairs(cases) do
            put(path, { default = case[1], ci = FILES.ci })
            refuses("CREDENTIALS_INVALID", { place, case[2] })
            refuses("CREDENTIALS_INVALID", { place, case[2] }, { ZENLAYER_PROFILE = "default" })
            assert.equal("CI", used({}, "profile=ci;")) -- another one is another's business
        end
    end)

    it("does not have what a header cannot carry", function()
        for _, bad in ipairs { SECRET .. "\nX-Evil: 1", SECRET .. "\r", SECRET .. "\0" } do
            put(path, { default = { token = bad } })
            refuses("CREDENTIALS_INVALID", { path, "NUL in token" })
            put(path, { default = { access_key_id = bad, access_key_secret = SECRET } })
            refuses("CREDENTIALS_INVALID", { path, "NUL in access_key_id" })
        end
        put(path, { default = { access_key_id = "K", access_key_secret = SECRET .. "\0" } })
        refuses("CREDENTIALS_INVALID", { path, "NUL in access_key_secret" })
        put(path, { default = { access_key_id = SECRET:rep(100), access_key_secret = SECRET } })
        refuses("CREDENTIALS_INVALID", { path, "access_key_id is not usable" })
    end)
end)

describe("a file that is there", function()
    -- It is an error, whoever named the profile, and never a reason to look elsewhere.
    local function unfit(parts)
        refuses("CREDENTIALS_INVALID", parts)
        refuses("CREDENTIALS_INVALID", parts, { ZENLAYER_PROFILE = "ci" })
        refuses("CREDENTIALS_INVALID", parts, { [TOKEN] = SECRET }, "profile=ci;")
    end

    it("is its owner's alone, or the way to make it so is told", function()
        for mode, fit in pairs {
            ["0600"] = true, ["0400"] = true, ["0700"] = true, ["0640"] = false, ["0604"] = false,
            ["0620"] = false, ["0602"] = false, ["0644"] = false, ["0666"] = false,
        } do
            chmod(mode)
            if fit then
                assert.equal("CI", used({}, "profile=ci;"))
            else
                unfit { "mode " .. mode, "chmod 600 '" .. path .. "'" }
            end
        end
        process.check { "mv", path, home .. "/elsewhere" }
        process.check { "ln", "-s", home .. "/elsewhere", path }
        chmod("640", home .. "/elsewhere")
        unfit { "mode 0640", "chmod 600 '" .. path .. "'" }
        chmod("600", home .. "/elsewhere")
        assert.equal("FILE", used())
    end)

    it("is JSON, or the byte where it is not is told", function()
        for text, at in pairs {
            [""] = 1, ["{"] = 2, ["\239\187\191{}"] = 1, ["{}{}"] = 3, ["{default:1}"] = 2,
            ['{"default":{"token":"' .. SECRET .. '}}'] = 36,
            ['{"default":{"token":"' .. SECRET .. '\255"}}'] = 34,
            ['{"ci":' .. ("["):rep(100000)] = 70,
        } do
            put(path, text)
            unfit { path .. ": no JSON at byte " .. at .. "\n" }
        end
    end)

    it("has what belongs there, once", function()
        for text, what in pairs {
            ["[]"] = "an object is expected at byte 1\n",
            ['{"ci":"' .. SECRET .. '","default":1}'] = "an object is expected at byte ",
            ['{"default":{"token":5},"ci":{"token":["' .. SECRET .. '"]}}'] =
                "a string is expected at byte ",
            ['{"default":{"token":"a","token":"b"},"ci":{"token":"a","token":"b"}}'] =
                "a second value for the same name at byte ",
            ['{"ci":{},"ci":{"token":"' .. SECRET .. '"},"default":1}'] = " at byte ",
        } do
            put(path, text)
            unfit { path .. ": ", what }
        end
    end)

    it("is a file of at most 1 MiB", function()
        put(path, cjson.encode(FILES) .. (" "):rep(2^20))
        unfit { path .. " is over 1 MiB" }
        for _, make in ipairs { "mkdir $0", "mkfifo -m 600 $0", "ln -s /dev/zero $0" } do
            process.check { "sh", "-c", "rm -rf $0; " .. make, path }
            unfit { path .. " is no regular file" }
        end
    end)

    it("can be read, or the reason is told", function()
        process.check { "ln", "-sf", "credentials.json", path }
        unfit { "cannot read " .. path .. ": ", "symbolic links" }
    end)

    it("and says which profile is in use is no better than the other", function()
        for content, what in pairs {
            ["{"] = ": no JSON at byte 2\n", ["[]"] = ": an object is expected at byte 1\n",
            ['{"current_profile":1}'] = ": a string is expected at byte 20\n",
        } do
            put(config, content)
            refuses("CREDENTIALS_INVALID", { config .. what })
            -- Who says which one does not need it.
            assert.equal("CI", used({}, "profile=ci;"))
            assert.equal("CI", used { ZENLAYER_PROFILE = "ci" })
        end
        process.check { "sh", "-c", "rm $0; mkfifo $0", config }
        refuses("CREDENTIALS_INVALID", { config .. " is no regular file" })
    end)
end)

describe("a client of the files", function()
    it("leaves nothing open, whatever happened", function()
        local output, status = process.run_lua([[
            local safe = require "zenlayer.safe"
            local lfs = require "lfs"
            local function open()
                local count = 0
                for _ in lfs.dir "/proc/self/fd" do
                    count = count + 1
                end
                return count
            end
            local before = open()
            for i = 1, 20 do
                for _, profile in ipairs { "ci", "none", "half" } do
                    local client = safe.new { profile = profile, endpoint = "https://127.0.0.1:1" }
                    if client then
                        client:close()
                    end
                end
            end
            collectgarbage()
            print(open() - before)
        ]], { HOME = home })
        assert.equal(0, status, output)
        assert.equal("0\n", output)
    end)
end)
