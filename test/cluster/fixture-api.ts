// One API server for all suites of a file: started when the first asks, gone when the last is done.
import { after } from 'mocha'

import { newLabApiServer, type LabApiServer } from '../../lab/api-server.ts'

let api: Promise<LabApiServer> | undefined

/** With all CustomResourceDefinitions in place. Tests keep apart by namespaces of their own. */
export async function getApi(): Promise<LabApiServer> {
  api ??= startApi()
  return api
}

/** One of its own, for a suite that looks at all there is; the caller disposes it. */
export async function newApi(): Promise<LabApiServer> {
  return startApi()
}

async function startApi(): Promise<LabApiServer> {
  const started = await newLabApiServer()
  await started.installCrds()
  return started
}

after(async () => {
  await (await api)?.[Symbol.asyncDispose]()
})
