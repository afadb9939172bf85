import { asKilnError, KilnError } from '../shared/errors.js';
import { isNode } from '../shared/node.js';
import { fetchOwn } from './own_files.js';
import type { Settings } from './settings.js';
import { workerUrl, type Team } from './team.js';

/** Why workers cannot be started. A browser does not say, so this looks at their file. */
async function whyNot(thrown: unknown, { stallTimeoutMs }: Settings): Promise<KilnError> {
  const error = asKilnError(thrown, 'internal', 'workers cannot be started');
  if (error.code === 'stalled') return error;
  const refusal = isNode ? null : await fetchOwn(workerUrl().href, stallTimeoutMs).then(({ leave }) => leave(), (refused: unknown) => refused);
  if (refusal instanceof KilnError) return refusal;
  const policy = isNode ? '' : '. A Content-Security-Policy may forbid them (worker-src, require-trusted-types-for)';
  return new KilnError('unsupported-environment', `workers cannot be started here: ${error.message}${policy}`, { cause: thrown });
}

/** A team in workers. It runs in this thread, which it then blocks, only if that was asked for or if there are no workers at all. */
export async function gather(settings: Settings, make: (settings: Settings) => Promise<Team>): Promise<{ team: Team; settings: Settings }> {
  try {
    return { team: await make(settings), settings };
  } catch (thrown) {
    if (!settings.workers) throw thrown;
    const why = await whyNot(thrown, settings);
    if (!settings.mayBlock) throw new KilnError(why.code, `${why.message}. With preferences: { worker: 'optional' } the model would run on this thread, and block it`, { where: workerUrl().href, cause: why.cause });
    const alone: Settings = { ...settings, workers: false, threads: 1, shared: false, mailbox: false, missing: [...settings.missing, { feature: 'workers', why: why.message }] };
    return { team: await make(alone), settings: alone };
  }
}
