import { ApiError, toApiError } from './api.ts';

/** How far an upload is, in bytes. */
export interface UploadProgress {
  readonly sent: number;
  readonly total: number;
}

/** Uploads a file, and returns the document of the answer. `fetch` does not report progress. @throws ApiError */
export function upload<T>(
  url: string,
  file: File,
  signal: AbortSignal,
  onProgress: (progress: UploadProgress) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', url);
    request.responseType = 'text';
    request.setRequestHeader('Accept', 'application/json');
    request.setRequestHeader('Content-Type', 'application/x-tar');
    request.setRequestHeader('X-Artifactapi-Client', 'ui');
    request.upload.addEventListener('progress', ({ loaded, total }) => onProgress({ sent: loaded, total }));
    request.addEventListener('load', () => {
      const { status, responseText } = request;
      if (status !== 201) reject(toApiError(status, parse(responseText), request.getResponseHeader('X-Request-Id')));
      else resolve(parse(responseText) as T);
    });
    request.addEventListener('error', () =>
      reject(new ApiError(0, 'UNREACHABLE', 'the connection broke before the registry answered')),
    );
    request.addEventListener('abort', () => reject(new ApiError(0, 'CANCELLED', 'the upload was cancelled')));
    signal.addEventListener('abort', () => request.abort());
    request.send(file);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
