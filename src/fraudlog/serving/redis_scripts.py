"""The two round trips of `RedisState`, as Lua: fetch all that an event needs, and put back what it changed.

A session is a hash of version and sealed state. A worker that finds another version than it fetched puts its event on
the session's list of pending ones, and the next worker takes those in first: no event is lost, and nobody tries again.
"""

from __future__ import annotations

from typing import Final

__all__ = ["COMMIT", "FETCH"]

FETCH: Final = """
local function whole(number) return string.format('%.0f', number) end
local function networks(key, network, now, span, most)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now - span))
  redis.call('ZADD', key, 'GT', whole(now), network)
  local count = redis.call('ZCARD', key)
  if count > most then redis.call('ZPOPMIN', key); count = most end
  redis.call('PEXPIRE', key, math.ceil(span / 1000) + 60000)
  return count
end
local function approach(key, now, span, value, most)
  local door, step, memory, beat, shape, network = string.match(value, '^(%d):(%d):(%d+):(%d+):(%d+):(%d+)$')
  local last, alike, among = redis.call('GET', key), -1, -1
  local gap = last and now - tonumber(last) < tonumber(memory) and now - tonumber(last)
  if door == '1' then
    local base, way = string.match(key, '^(.*):[^:]*$') .. ':' .. shape, nil
    if beat == '0' then way = not gap and 0 else way = gap and math.floor(gap / tonumber(beat)) end
    if way then alike = networks(base .. ':' .. whole(way), network, now, span, most) end
    if way or beat == '0' then among = networks(base, network, now, span, most) end
  end
  if step == '1' then redis.call('SET', key, whole(now), 'PX', math.ceil(memory / 1000) + 60000) end
  return {alike, among}
end
local n, memory, days = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local out = {redis.call('HMGET', KEYS[1], 'v', 's'), redis.call('LRANGE', KEYS[2], 0, -1)}
local arg = 4
for i = 1, n do
  local key, kind, value = KEYS[2 + i], ARGV[arg], ARGV[arg + 3]
  local now, span, most = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2]), tonumber(ARGV[arg + 4])
  arg = arg + 5
  local keep = math.ceil(span / 1000) + 60000
  if kind == 'distinct' then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now - span))
    local known = redis.call('ZSCORE', key, value)
    redis.call('ZADD', key, 'GT', string.format('%.0f', now), value)
    local count = redis.call('ZCARD', key)
    if count > most then redis.call('ZPOPMIN', key); count = most end
    redis.call('PEXPIRE', key, keep)
    out[#out + 1] = {count, known and 0 or 1}
  elseif kind == 'count' then
    local bucket, length = math.floor(now / 60000000), math.floor(span / 60000000)
    if tonumber(value) > 0 then
      redis.call('HINCRBY', key, string.format('%.0f', bucket), value)
      redis.call('PEXPIRE', key, keep)
    end
    local all, total = redis.call('HGETALL', key), 0
    for j = 1, #all, 2 do
      local age = bucket - tonumber(all[j])
      if age >= length then redis.call('HDEL', key, all[j]) else total = total + tonumber(all[j + 1]) end
    end
    out[#out + 1] = {total}
  elseif kind == 'straight' or kind == 'rhythm' then
    out[#out + 1] = approach(key, now, span, value, most)
  else
    local last = redis.call('GET', key)
    redis.call('SET', key, value .. ':' .. string.format('%.0f', now), 'PX', keep)
    out[#out + 1] = {last or ''}
  end
end
for i = 1, memory do
  out[#out + 1] = {redis.call('GET', KEYS[2 + n + 2 * i - 1]) or '', redis.call('HGETALL', KEYS[2 + n + 2 * i])}
end
for i = 1, days do
  out[#out + 1] = redis.call('HMGET', KEYS[2 + n + 2 * memory + i], 'seen', 'spent')
end
return out
"""
"""Keys: session, pending, windows, mark and people of each target, reviews of each day.

Returns what they hold, this event included.
"""

COMMIT: Final = """
local version = redis.call('HGET', KEYS[1], 'v') or '0'
local took, idle, taken = 0, ARGV[5], tonumber(ARGV[4])
if version == ARGV[1] then
  redis.call('HSET', KEYS[1], 'v', tonumber(version) + 1, 's', ARGV[2])
  if taken > 0 then redis.call('LTRIM', KEYS[2], taken, -1) end
  took = 1
else
  redis.call('RPUSH', KEYS[2], ARGV[3])
  redis.call('PEXPIRE', KEYS[2], idle)
end
redis.call('PEXPIRE', KEYS[1], idle)
local arg = 6
for i = 3, #KEYS do
  if ARGV[arg] == 'mark' then
    redis.call('SET', KEYS[i], ARGV[arg + 1], 'PX', ARGV[arg + 3])
  else
    if ARGV[arg] == 'people' then
      redis.call('HINCRBY', KEYS[i], ARGV[arg + 1], ARGV[arg + 2])
    else
      redis.call('HINCRBY', KEYS[i], 'seen', ARGV[arg + 1])
      redis.call('HINCRBY', KEYS[i], 'spent', ARGV[arg + 2])
    end
    redis.call('PEXPIRE', KEYS[i], ARGV[arg + 3])
  end
  arg = arg + 4
end
return took
"""
"""Keys: session, pending, then the marks, people and reviews that changed. Returns whether the state was taken."""
