// What node reads of the query on each line of the input: qs (Express), querystring and URLSearchParams.
const qs = require('qs'), querystring = require('node:querystring')
const readers = {
  'node qs': (q) => qs.parse(q),
  'node qs allowDots': (q) => qs.parse(q, { allowDots: true, ignoreQueryPrefix: true }),
  'node querystring': (q) => querystring.parse(q),
  'node URLSearchParams': (q) => Object.fromEntries(new URLSearchParams(q)),
}
for (const query of require('fs').readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  for (const [reader, read] of Object.entries(readers)) console.log(JSON.stringify([query, reader, read(query).owner ?? null]))
}
