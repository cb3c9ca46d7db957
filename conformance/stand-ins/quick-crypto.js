/** `react-native-quick-crypto` has the functions of Node's module. */
export { default } from 'node:crypto';
