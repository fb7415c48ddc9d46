// What fails while something else is disposed of hides both behind one sentence. mocha prints what an error says of
// itself by this name.
import { renderCauses } from '../core/errors.ts'

// oxlint-disable-next-line no-extend-native -- nothing else reaches errors that the language makes
Object.defineProperty(SuppressedError.prototype, 'inspect', {
  value(this: Error): string {
    return renderCauses(this)
  },
})
