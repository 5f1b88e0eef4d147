const secretName = /TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|PRIVATE|API_?KEY/i;

/** Returns whether the name of a variable looks like that of a secret. */
export function isSecretName(name: string): boolean {
  return secretName.test(name);
}

/** Returns the names and values of environment variables. */
export function parseEnvironment(lines: readonly string[]): readonly (readonly [name: string, value: string])[] {
  return lines.map((line) => {
    const equals = line.indexOf('=');
    return equals < 0 ? [line, ''] : [line.slice(0, equals), line.slice(equals + 1)];
  });
}
