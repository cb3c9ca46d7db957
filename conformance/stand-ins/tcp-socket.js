/** `react-native-tcp-socket` is made after Node's modules. */
import { createConnection } from 'node:net';
import { connect as connectTLS } from 'node:tls';

export default { createConnection, connectTLS };
