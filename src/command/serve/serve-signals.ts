import type { Logger } from '../../ports/runtime.js';
import type { RegistryServer } from './server.js';

/**
 * `npm start` forwards a signal that the terminal has already sent to this process. Within this time, it counts as the
 * same. On a busy machine, npm may be slow to forward it.
 */
const sameSignalMs = 500;

/**
 * Stops the server on a signal. The first signal lets requests in flight complete; a second one ends the process at once.
 * @param readStopSeconds returns how long requests in flight may take.
 * @param logging the log, and a function that writes what waits to be written.
 */
export function handleSignals(
  server: RegistryServer,
  readStopSeconds: () => number,
  { log, endLog }: { readonly log: Logger; readonly endLog: () => Promise<void> },
): void {
  const exit = (code: number): void => void endLog().finally(() => process.exit(code));
  let stoppingSince: number | undefined;
  const stop = (signal: NodeJS.Signals): void => {
    if (stoppingSince !== undefined) {
      if (performance.now() - stoppingSince > sameSignalMs) process.exit(1);
      return;
    }
    stoppingSince = performance.now();
    const stopSeconds = readStopSeconds();
    const { requestsInFlight } = server;
    log.info({ signal, stopSeconds, requestsInFlight }, 'stopping');
    if (signal === 'SIGINT' && requestsInFlight > 0) {
      const requests = requestsInFlight === 1 ? '1 request' : `${requestsInFlight} requests`;
      const text = `stopping: waiting up to ${stopSeconds} s for ${requests}; press Ctrl-C again to stop now\n`;
      process.stderr.write(text);
    }
    server.stop(stopSeconds).then(
      () => {
        log.info({}, 'stopped');
        exit(0);
      },
      (err: unknown) => {
        log.error({ err }, 'shutdown failed');
        exit(1);
      },
    );
  };
  for (const signal of stopSignals(process.platform)) process.on(signal, stop);
}

/**
 * Catches SIGHUP, except on Windows, where it means that the console was closed. Returns a function that takes the
 * reload, to be called when the server runs. A SIGHUP that arrived earlier then causes a reload.
 */
export function catchHangUp(): (reload: () => void) => void {
  if (stopSignals(process.platform).includes('SIGHUP')) return () => undefined;
  let onHangUp: (() => void) | undefined;
  let isPending = false;
  process.on('SIGHUP', () => {
    if (onHangUp === undefined) isPending = true;
    else onHangUp();
  });
  return (reload) => {
    onHangUp = reload;
    if (isPending) reload();
  };
}

/**
 * Returns the signals that stop the server. On Windows, Ctrl+Break is SIGBREAK, and SIGHUP means that the console was closed:
 * Windows then ends the process after some seconds.
 */
export function stopSignals(platform: NodeJS.Platform): readonly NodeJS.Signals[] {
  return platform === 'win32' ? ['SIGTERM', 'SIGINT', 'SIGBREAK', 'SIGHUP'] : ['SIGTERM', 'SIGINT'];
}
