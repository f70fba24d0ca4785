// The OpenFeature providers for servers and browsers against a running server.
//
//   node ofrep_client.mjs URL EXPECTED.json
//
// EXPECTED holds what curl was told: the values of each flag by unit. Prints one line for each check that failed and
// exits with 1 if there is one.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

// The packages are installed outside of the source tree.
const require = createRequire(join(process.env.CLIENTS_HOME ?? process.cwd(), 'index.js'))
const server = require('@openfeature/server-sdk')
const web = require('@openfeature/web-sdk')
const { OFREPProvider } = require('@openfeature/ofrep-provider')
const { OFREPWebProvider } = require('@openfeature/ofrep-web-provider')

const [url, file] = process.argv.slice(2)
const expected = JSON.parse(readFileSync(file, 'utf8'))
let failed = 0
let checked = 0

function same(what, got, wanted) {
  checked += 1
  if (JSON.stringify(got) !== JSON.stringify(wanted)) {
    failed += 1
    console.error(`${what}: got ${JSON.stringify(got)}, expected ${JSON.stringify(wanted)}`)
  }
}

const methods = { boolean: 'Boolean', string: 'String', number: 'Number', object: 'Object' }
const defaults = { boolean: true, string: 'default', number: -1, object: { default: true } }

async function onServers() {
  await server.OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: url }))
  const client = server.OpenFeature.getClient()
  for (const { flag, unit, value, variant, reason } of expected.values) {
    const kind = typeof value
    const details = await client[`get${methods[kind]}Details`](flag, defaults[kind], { targetingKey: unit, country: 'DE' })
    same(`server ${flag} ${unit}`, [details.value, details.variant, details.reason], [value, variant, reason])
    same(`server ${flag} ${unit} metadata`, typeof details.flagMetadata.experiment, 'string')
  }
  const missing = await client.getStringDetails('no-such-flag', 'default', { targetingKey: 'u' })
  same('server unknown flag', [missing.value, missing.errorCode], ['default', 'FLAG_NOT_FOUND'])
  const nobody = await client.getBooleanDetails(expected.flag, true, {})
  same('server without a key', [nobody.value, nobody.errorCode], [true, 'TARGETING_KEY_MISSING'])
  const type = await client.getStringDetails(expected.flag, 'default', { targetingKey: 'u' })
  same('server wrong type', [type.value, type.errorCode], ['default', 'TYPE_MISMATCH'])
}

async function onBrowsers() {
  const statuses = []
  const provider = new OFREPWebProvider({
    baseUrl: url,
    pollInterval: 0,
    cacheMode: 'disabled',
    fetchImplementation: async (request) => {
      const response = await fetch(request)
      statuses.push(response.status)
      return response
    },
  })
  const units = [...new Set(expected.values.map((v) => v.unit))]
  await web.OpenFeature.setContext({ targetingKey: units[0], country: 'DE' })
  await web.OpenFeature.setProviderAndWait(provider)
  const client = web.OpenFeature.getClient()
  for (const unit of units) {
    await web.OpenFeature.setContext({ targetingKey: unit, country: 'DE' })
    for (const { flag, value, variant, reason } of expected.values.filter((v) => v.unit === unit)) {
      const kind = typeof value
      const details = client[`get${methods[kind]}Details`](flag, defaults[kind])
      same(`browser ${flag} ${unit}`, [details.value, details.variant, details.reason], [value, variant, reason])
    }
  }
  same('browser unknown flag', client.getStringDetails('no-such-flag', 'default').errorCode, 'FLAG_NOT_FOUND')
  same('browser bulk answers', statuses.every((status) => status === 200 || status === 304), true)
  // The same context again: the provider sends its ETag and is told that nothing changed.
  statuses.length = 0
  await provider._fetchFlags({ targetingKey: units.at(-1), country: 'DE' })
  same('browser asks again', statuses, [304])
  await web.OpenFeature.close()
}

await onServers()
await onBrowsers()
await server.OpenFeature.close()
console.log(`${checked - failed} passed, ${failed} failed`)
process.exit(failed ? 1 : 0)
