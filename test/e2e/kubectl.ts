// Where a machine has no kubectl: prints the path of the one that the cluster tests build.
import { ensureClusterBinary } from '../../lab/cluster-binaries.ts'

const path = await ensureClusterBinary('kubectl', (line) => process.stderr.write(`${line}\n`))
process.stdout.write(path)
